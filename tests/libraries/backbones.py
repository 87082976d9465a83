"""The backbones of KerasHub, as small as they can be built: a function for each, by its name."""

from keras_hub import layers, models
from keras_hub.src.models.clip.clip_text_encoder import CLIPTextEncoder
from keras_hub.src.models.clip.clip_vision_encoder import CLIPVisionEncoder
from keras_hub.src.models.metaclip_2.metaclip_2_text_encoder import MetaCLIP2TextEncoder
from keras_hub.src.models.metaclip_2.metaclip_2_vision_encoder import MetaCLIP2VisionEncoder
from keras_hub.src.models.siglip.siglip_text_encoder import SigLIPTextEncoder
from keras_hub.src.models.siglip.siglip_vision_encoder import SigLIPVisionEncoder
from keras_hub.src.models.vae.vae_backbone import VAEBackbone

# What several take.
_SIZE = {"num_layers": 2, "hidden_dim": 8, "intermediate_dim": 12}
_TEXT = {"vocabulary_size": 11, "num_heads": 2, **_SIZE}
_SHARED = {"vocabulary_size": 11, "num_query_heads": 4, "num_key_value_heads": 2, **_SIZE}
_IMAGE = {"image_shape": (16, 16, 3)}
_PATCHES = {**_IMAGE, "patch_size": 8}
_TOWER = {"num_heads": 2, **_SIZE}


def _resnet(stages=3, **arguments):
    shape = {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [64, 6, 8, 10][:stages],
        "stackwise_num_blocks": [2, 1, 1, 1][:stages],
        "stackwise_num_strides": [1, 2, 2, 2][:stages],
        "block_type": "basic_block",
        "image_shape": (32, 32, 3),
    }
    return models.ResNetBackbone(**shape | arguments)


def _hgnet(**arguments):
    shape = {
        "depths": [1, 1],
        "embedding_size": 6,
        "hidden_sizes": [8, 12],
        "stem_channels": [3, 4, 6],
        "hidden_act": "relu",
        "use_learnable_affine_block": True,
        "stackwise_stage_filters": [[6, 4, 8, 1, 2, 3], [8, 4, 12, 1, 2, 3]],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, True],
        "image_shape": (32, 32, 3),
        "out_features": ["stem", "stage1", "stage2"],
    }
    return models.HGNetV2Backbone(**shape | arguments)


def _towers(vision, text):
    return (
        vision(**_PATCHES, **_TOWER, name="vision_encoder"),
        text(
            vocabulary_size=11,
            embedding_dim=8,
            max_sequence_length=6,
            **_TOWER,
            name="text_encoder",
        ),
    )


def _mit():
    return models.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[4, 8],
        image_shape=(32, 32, 3),
    )


def _dino(**arguments):
    shape = _PATCHES | _TOWER
    return models.DINOV2Backbone(**shape | arguments)


def _flux():
    return models.FluxBackbone(
        input_channels=6,
        hidden_size=16,
        mlp_ratio=2.0,
        num_heads=2,
        depth=1,
        depth_single_blocks=1,
        axes_dim=[2, 2, 4],
        theta=10_000,
        use_bias=True,
        guidance_embed=True,
        image_shape=(5, 6),
        text_shape=(4, 6),
        image_ids_shape=(5, 3),
        text_ids_shape=(4, 3),
        y_shape=(6,),
    )


def _vae():
    return VAEBackbone([32, 32], [1, 1], [32, 32], [1, 1], sampler_method="mode", name="vae")


def _stable_diffusion():
    clip = {"vocabulary_size": 11, "num_layers": 2, "num_heads": 2, "intermediate_dim": 12}
    clip |= {"intermediate_output_index": -2, "max_sequence_length": 6}
    return models.StableDiffusion3Backbone(
        mmdit_patch_size=2,
        mmdit_hidden_dim=8,
        mmdit_num_layers=2,
        mmdit_num_heads=2,
        mmdit_position_size=16,
        mmdit_qk_norm=None,
        mmdit_dual_attention_indices=None,
        vae=VAEBackbone([32] * 4, [1] * 4, [32] * 4, [1] * 4, sampler_method="mode", name="vae"),
        clip_l=CLIPTextEncoder(embedding_dim=8, hidden_dim=8, name="clip_l", **clip),
        clip_g=CLIPTextEncoder(embedding_dim=12, hidden_dim=12, name="clip_g", **clip),
        image_shape=(32, 32, 3),
    )


def _d_fine():
    return models.DFineBackbone(
        backbone=_hgnet(out_features=["stage1", "stage2"]),
        decoder_in_channels=[16, 16],
        encoder_hidden_dim=16,
        num_labels=3,
        num_denoising=4,
        learn_initial_query=False,
        num_queries=5,
        anchor_image_size=(32, 32),
        feat_strides=[4, 8],
        num_feature_levels=2,
        hidden_dim=16,
        encoder_in_channels=[8, 12],
        encode_proj_layers=[1],
        num_attention_heads=2,
        encoder_ffn_dim=12,
        num_encoder_layers=1,
        hidden_expansion=0.34,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=12,
        decoder_n_points=[2, 2],
        lqe_hidden_dim=6,
        num_lqe_layers=2,
        out_features=["stage1", "stage2"],
        image_shape=(32, 32, 3),
        seed=0,
    )


def _sam():
    return models.SAMBackbone(
        models.ViTDetBackbone(
            hidden_size=8,
            num_layers=2,
            intermediate_dim=12,
            num_heads=2,
            global_attention_layer_indices=[1],
            num_output_channels=8,
            window_size=2,
            **_PATCHES,
        ),
        layers.SAMPromptEncoder(
            hidden_size=8,
            image_embedding_size=(2, 2),
            input_image_size=(16, 16),
            mask_in_channels=4,
        ),
        layers.SAMMaskDecoder(
            num_layers=2,
            hidden_size=8,
            intermediate_dim=12,
            num_heads=2,
            embedding_dim=8,
            num_multimask_outputs=3,
            iou_head_depth=2,
            iou_head_hidden_dim=6,
        ),
    )


def _sam3():
    tower = {"hidden_dim": 8, "intermediate_dim": 12, "num_heads": 2}
    return models.SAM3PromptableConceptBackbone(
        vision_encoder=layers.SAM3VisionEncoder(
            image_shape=(56, 56, 3),
            patch_size=14,
            num_layers=2,
            fpn_hidden_dim=8,
            fpn_scale_factors=[4.0, 2.0, 1.0, 0.5],
            pretrain_image_shape=(28, 28, 3),
            window_size=2,
            global_attn_indexes=[1],
            **tower,
        ),
        text_encoder=layers.SAM3TextEncoder(
            vocabulary_size=11, embedding_dim=8, num_layers=2, max_sequence_length=6, **tower
        ),
        geometry_encoder=layers.SAM3GeometryEncoder(num_layers=1, roi_size=2, **tower),
        detr_encoder=layers.SAM3DetrEncoder(num_layers=1, **tower),
        detr_decoder=layers.SAM3DetrDecoder(
            image_shape=(56, 56, 3), patch_size=14, num_layers=1, num_queries=5, **tower
        ),
        mask_decoder=layers.SAM3MaskDecoder(num_upsampling_stages=3, hidden_dim=8, num_heads=2),
    )


def _blip2():
    from keras_hub.src.models.blip2.blip2_custom_opt import BLIP2CustomOPT
    from keras_hub.src.models.blip2.blip2_qformer import BLIP2QFormer
    from keras_hub.src.models.blip2.blip2_vision_encoder import BLIP2VisionEncoder

    return models.BLIP2Backbone(
        BLIP2VisionEncoder(
            image_size=16,
            patch_size=8,
            use_patch_bias=True,
            use_class_token=True,
            use_mha_bias=True,
            use_mlp_bias=True,
            dropout_rate=0.0,
            layer_norm_epsilon=1e-6,
            initializer_range=0.02,
            **_TOWER,
        ),
        BLIP2QFormer(
            num_query_tokens=3,
            vision_dim=8,
            cross_attention_frequency=2,
            dropout=0.0,
            layer_norm_epsilon=1e-6,
            **_TOWER,
        ),
        BLIP2CustomOPT(
            num_query_tokens=3,
            dropout=0.0,
            max_sequence_length=16,
            qformer_hidden_dim=8,
            **_TEXT,
        ),
    )


def _mobilenet():
    return models.MobileNetBackbone(
        stackwise_expansion=[[6, 8], [8]],
        stackwise_num_blocks=[2, 1],
        stackwise_num_filters=[[6, 6], [8]],
        stackwise_kernel_size=[[3, 3], [3]],
        stackwise_num_strides=[[2, 1], [1]],
        stackwise_se_ratio=[[None, 0.5], [0.5]],
        stackwise_activation=[["relu", "relu"], ["hard_swish"]],
        stackwise_padding=[[1, 1], [1]],
        output_num_filters=10,
        depthwise_filters=4,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=12,
        squeeze_and_excite=0.5,
        input_num_filters=4,
        image_shape=(32, 32, 3),
    )


def _mobilenet_v5(**arguments):
    shape = {
        "stackwise_block_types": [["er"], ["uir", "mqa"]],
        "stackwise_num_blocks": [1, 2],
        "stackwise_num_filters": [[8], [12, 12]],
        "stackwise_strides": [[2], [2, 1]],
        "stackwise_act_layers": [["relu"], ["relu", "relu"]],
        "stackwise_exp_ratios": [[2.0], [2.0, 2.0]],
        "stackwise_se_ratios": [[0.0], [0.0, 0.0]],
        "stackwise_dw_kernel_sizes": [[0], [5, 5]],
        "stackwise_dw_start_kernel_sizes": [[0], [0, 0]],
        "stackwise_dw_end_kernel_sizes": [[0], [0, 0]],
        "stackwise_exp_kernel_sizes": [[3], [0, 0]],
        "stackwise_pw_kernel_sizes": [[1], [0, 0]],
        "stackwise_num_heads": [[0], [0, 2]],
        "stackwise_key_dims": [[0], [0, 4]],
        "stackwise_value_dims": [[0], [0, 4]],
        "stackwise_kv_strides": [[0], [0, 1]],
        "stackwise_use_cpe": [[False], [False, False]],
        "num_features": 4,
        "use_msfa": False,
        "image_shape": (32, 32, 3),
    }
    return models.MobileNetV5Backbone(**shape | arguments)


def _efficientnet():
    return models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1, 2, 2],
        stackwise_input_filters=[8, 8, 16],
        stackwise_output_filters=[8, 16, 24],
        stackwise_expansion_ratios=[1, 2, 2],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=["fused", "unfused", "v1"],
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        num_features=32,
        input_shape=(32, 32, 3),
    )


def _gemma3n():
    vision = _mobilenet_v5(
        stackwise_block_types=[["er"]],
        stackwise_num_blocks=[1],
        **{
            f"stackwise_{name}": [[value]]
            for name, value in {
                "num_filters": 8,
                "strides": 1,
                "act_layers": "relu",
                "exp_ratios": 1.0,
                "se_ratios": 0.0,
                "dw_kernel_sizes": 0,
                "dw_start_kernel_sizes": 0,
                "dw_end_kernel_sizes": 0,
                "exp_kernel_sizes": 1,
                "pw_kernel_sizes": 1,
                "num_heads": 0,
                "key_dims": 0,
                "value_dims": 0,
                "kv_strides": 0,
                "use_cpe": False,
            }.items()
        },
    )
    del vision
    return models.Gemma3nBackbone(
        text_vocab_size=50,
        text_hidden_size=8,
        num_hidden_layers=2,
        pad_token_id=0,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        intermediate_size=[12, 12],
        hidden_activation="gelu_approximate",
        layer_types=["full_attention", "sliding_attention"],
        sliding_window=4,
        rope_theta=10000.0,
        max_position_embeddings=16,
        vocab_size_per_layer_input=50,
        hidden_size_per_layer_input=2,
        altup_num_inputs=2,
        laurel_rank=1,
    )


def _t5gemma(backbone, **arguments):
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {
            "hidden_dim": 8,
            "intermediate_dim": 12,
            "num_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        }.items()
    }
    return backbone(
        vocabulary_size=11, **sides, sliding_window=4, cross_attention_hidden_size=8, **arguments
    )


def _smollm3():
    return models.SmolLM3Backbone(
        vocabulary_size=11,
        hidden_dim=8,
        intermediate_dim=12,
        num_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=False,
        attention_dropout=0.0,
        rope_layer_enabled_list=[True, False],
        layer_types=["full_attention", "full_attention"],
        mlp_bias=False,
        layer_norm_epsilon=1e-6,
        max_position_embeddings=32,
        rope_theta=10000.0,
        partial_rotary_factor=1.0,
    )


_HYBRID = {
    "partial_rotary_factor": 0.5,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 4,
    "linear_conv_kernel_dim": 3,
}
_EXPERTS = {**_SHARED, "moe_intermediate_dim": 6, "num_experts": 3, "top_k": 2}

BACKBONES = {
    "ALBERT": lambda: models.AlbertBackbone(embedding_dim=6, max_sequence_length=12, **_TEXT),
    "BART": lambda: models.BartBackbone(max_sequence_length=12, **_TEXT),
    "BASNet": lambda: models.BASNetBackbone(
        _resnet(4, image_shape=(None, None, 3)), 1, projection_filters=64
    ),
    "BERT": lambda: models.BertBackbone(max_sequence_length=12, **_TEXT),
    "BLIP-2": _blip2,
    "BLOOM": lambda: models.BloomBackbone(**_TEXT),
    "CLIP": lambda: models.CLIPBackbone(*_towers(CLIPVisionEncoder, CLIPTextEncoder), 6),
    "CSPNet": lambda: models.CSPNetBackbone(
        stem_filters=4,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2],
        stackwise_strides=2,
        stackwise_num_filters=[6, 8],
        block_type="dark_block",
        stage_type="csp",
        stem_padding="same",
        down_growth=True,
        bottle_ratio=(0.5, 1.0),
        block_ratio=(1.0, 0.5),
        expand_ratio=(2.0, 1.0),
        image_shape=(32, 32, 3),
    ),
    "D-FINE": _d_fine,
    "DeBERTa v3": lambda: models.DebertaV3Backbone(max_sequence_length=12, bucket_size=4, **_TEXT),
    "DeepLab v3": lambda: models.DeepLabV3Backbone(
        _resnet(image_shape=(None, None, 3)), "P4", 4, [2, 3, 4], "P2", 4, (32, 32, 3)
    ),
    "DeiT": lambda: models.DeiTBackbone(**_PATCHES, **_TOWER),
    "DenseNet": lambda: models.DenseNetBackbone([1, 2], (32, 32, 3), growth_rate=4),
    "Depth Anything": lambda: models.DepthAnythingBackbone(
        _dino(num_layers=4, image_shape=(64, 64, 3), apply_layernorm=True, name="image_encoder"),
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 6, 8, 10],
        fusion_hidden_dim=6,
        head_hidden_dim=4,
        head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"],
    ),
    "DINOv2": lambda: _dino(num_register_tokens=2),
    "DINOv2, gated": lambda: _dino(use_swiglu_ffn=True),
    "DINOv3": lambda: models.DINOV3Backbone(**_PATCHES, **_TOWER),
    "DistilBERT": lambda: models.DistilBertBackbone(max_sequence_length=12, **_TEXT),
    "EdRec": lambda: models.EdRecBackbone(
        vocab_size=11,
        num_layers_enc=2,
        num_layers_dec=2,
        hidden_dim=8,
        intermediate_dim=12,
        num_heads=2,
    ),
    "EfficientNet": _efficientnet,
    "ELECTRA": lambda: models.ElectraBackbone(
        vocab_size=11, embedding_dim=6, max_sequence_length=12, num_heads=2, **_SIZE
    ),
    "ESM": lambda: models.ESMBackbone(max_sequence_length=12, **_TEXT),
    "Falcon": lambda: models.FalconBackbone(vocabulary_size=11, num_attention_heads=2, **_SIZE),
    "FLUX": _flux,
    "FNet": lambda: models.FNetBackbone(vocabulary_size=11, max_sequence_length=12, **_SIZE),
    "Gemma": lambda: models.GemmaBackbone(head_dim=4, **_SHARED),
    "Gemma 2": lambda: models.GemmaBackbone(
        head_dim=4,
        use_post_ffw_norm=True,
        use_post_attention_norm=True,
        attention_logit_soft_cap=50.0,
        use_sliding_window_attention=True,
        sliding_window_size=4,
        **_SHARED,
    ),
    "Gemma 3": lambda: models.Gemma3Backbone(image_size=16, head_dim=4, **_SHARED),
    "Gemma 3n": _gemma3n,
    "Gemma 4": lambda: models.Gemma4Backbone(image_size=16, head_dim=4, **_SHARED),
    "Gemma 4, experts": lambda: models.Gemma4Backbone(
        image_size=16,
        head_dim=4,
        enable_moe_block=True,
        num_experts=3,
        expert_intermediate_dim=6,
        num_experts_per_token=2,
        **_SHARED,
    ),
    "GPT-2": lambda: models.GPT2Backbone(max_sequence_length=12, **_TEXT),
    "GPT-NeoX": lambda: models.GPTNeoXBackbone(
        max_sequence_length=12, rotary_percentage=0.5, **_TEXT
    ),
    "GPT-OSS": lambda: models.GptOssBackbone(num_experts=3, top_k=2, head_dim=4, **_SHARED),
    "HGNetV2": _hgnet,
    "Llama": lambda: models.LlamaBackbone(**_SHARED),
    "Llama 3": lambda: models.Llama3Backbone(**_SHARED),
    "MetaCLIP 2": lambda: models.MetaCLIP2Backbone(
        *_towers(MetaCLIP2VisionEncoder, MetaCLIP2TextEncoder), 6
    ),
    "MiT": _mit,
    "Mistral": lambda: models.MistralBackbone(sliding_window=4, **_SHARED),
    "Mixtral": lambda: models.MixtralBackbone(num_experts=3, top_k=2, sliding_window=4, **_SHARED),
    "MobileNet": _mobilenet,
    "MobileNetV5": _mobilenet_v5,
    "Moonshine": lambda: models.MoonshineBackbone(
        vocabulary_size=11,
        filter_dim=16,
        encoder_num_layers=2,
        decoder_num_layers=2,
        hidden_dim=16,
        intermediate_dim=24,
        encoder_num_heads=2,
        decoder_num_heads=2,
    ),
    "OPT": lambda: models.OPTBackbone(max_sequence_length=12, **_TEXT),
    "PaliGemma": lambda: models.PaliGemmaBackbone(
        image_size=16,
        head_dim=4,
        vit_patch_size=8,
        vit_num_heads=2,
        vit_hidden_dim=6,
        vit_num_layers=2,
        **_SHARED,
    ),
    "PARSeq": lambda: models.PARSeqBackbone(
        models.ViTBackbone(
            **_PATCHES,
            mlp_dim=12,
            num_layers=2,
            num_heads=2,
            hidden_dim=8,
            use_class_token=False,
            name="image_encoder",
        ),
        vocabulary_size=11,
        max_label_length=6,
        decoder_hidden_dim=8,
        num_decoder_layers=1,
        num_decoder_heads=2,
        decoder_mlp_dim=12,
    ),
    "Phi-3": lambda: models.Phi3Backbone(max_sequence_length=12, **_SHARED),
    "Qwen 2": lambda: models.QwenBackbone(**_SHARED),
    "Qwen 3": lambda: models.Qwen3Backbone(head_dim=4, **_SHARED),
    "Qwen 3, experts": lambda: models.Qwen3MoeBackbone(head_dim=4, **_EXPERTS),
    "Qwen 3.5": lambda: models.Qwen3_5Backbone(head_dim=4, **_HYBRID, **_SHARED),
    "Qwen 3.5, experts": lambda: models.Qwen3_5MoeBackbone(
        head_dim=4,
        shared_expert_intermediate_size=6,
        **_HYBRID,
        **{name: value for name, value in _EXPERTS.items() if name != "intermediate_dim"},
    ),
    "Qwen, experts": lambda: models.QwenMoeBackbone(shared_expert_intermediate_dim=6, **_EXPERTS),
    "ResNet": _resnet,
    "ResNet v2": lambda: _resnet(use_pre_activation=True, block_type="bottleneck_block"),
    "RetinaNet": lambda: models.RetinaNetBackbone(
        _resnet(4, image_shape=(64, 64, 3)), 3, 5, use_p5=False, image_shape=(64, 64, 3)
    ),
    "RoBERTa": lambda: models.RobertaBackbone(max_sequence_length=12, **_TEXT),
    "RoFormer v2": lambda: models.RoformerV2Backbone(head_size=4, **_TEXT),
    "RWKV-7": lambda: models.RWKV7Backbone(
        hidden_size=8,
        head_size=4,
        num_layers=2,
        vocabulary_size=11,
        intermediate_dim=12,
        gate_lora=4,
        mv_lora=4,
        aaa_lora=4,
        decay_lora=4,
    ),
    "SAM": _sam,
    "SAM 3": _sam3,
    "SegFormer": lambda: models.SegFormerBackbone(_mit(), 6),
    "SigLIP": lambda: models.SigLIPBackbone(*_towers(SigLIPVisionEncoder, SigLIPTextEncoder)),
    "SmolLM3": _smollm3,
    "Stable Diffusion 3": _stable_diffusion,
    "Swin": lambda: models.SwinTransformerBackbone(
        image_shape=(32, 32, 3), embed_dim=8, depths=(2, 1), num_heads=(2, 2), window_size=4
    ),
    "T5": lambda: models.T5Backbone(**_TEXT),
    "T5, v1.0": lambda: models.T5Backbone(use_gated_activation=False, key_value_dim=6, **_TEXT),
    "T5Gemma": lambda: _t5gemma(models.T5GemmaBackbone),
    "T5Gemma 2": lambda: _t5gemma(models.T5Gemma2Backbone),
    "VAE": _vae,
    "VGG": lambda: models.VGGBackbone([1, 2], [4, 6], (32, 32, 3)),
    "VideoPrism": lambda: models.VideoPrismBackbone(
        num_frames=2,
        patch_size=8,
        hidden_dim=8,
        intermediate_dim=12,
        num_heads=2,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_auxiliary_layers=1,
        **_IMAGE,
    ),
    "ViT": lambda: models.ViTBackbone(
        **_PATCHES, mlp_dim=12, num_layers=2, num_heads=2, hidden_dim=8
    ),
    "ViTDet": lambda: models.ViTDetBackbone(
        hidden_size=8,
        num_layers=2,
        intermediate_dim=12,
        num_heads=2,
        global_attention_layer_indices=[1],
        num_output_channels=6,
        window_size=2,
        **_PATCHES,
    ),
    "Whisper": lambda: models.WhisperBackbone(
        num_mels=6, max_encoder_sequence_length=24, max_decoder_sequence_length=12, **_TEXT
    ),
    "XLM-RoBERTa": lambda: models.XLMRobertaBackbone(max_sequence_length=12, **_TEXT),
    "XLNet": lambda: models.XLNetBackbone(**_TEXT),
    "Xception": lambda: models.XceptionBackbone([[4, 6], [8]], [True, False], (32, 32, 3)),
}
