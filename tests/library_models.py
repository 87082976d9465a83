"""Layers and models in the style of libraries that are built on Keras, small."""

import keras

layers = keras.layers
ops = keras.ops


class CachedAttention(layers.MultiHeadAttention):
    """Takes an argument that the method of its parent for shapes does not know."""

    def call(self, query, value, attention_mask=None, cache=None):
        return super().call(query, value, attention_mask=attention_mask)


class AttentionWithCache(CachedAttention):
    """Gives its cache as well, `None` without one."""

    def call(self, query, value, attention_mask=None, cache=None):
        return super().call(query, value, attention_mask), cache


class OwnAttention(layers.Layer):
    """Has its own maps, and needs the sizes of what they give."""

    def __init__(self, heads, dim, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.dim = heads, dim

    def build(self, shape, value_shape):
        self.query = layers.EinsumDense("btd,dhk->bthk", (None, self.heads, self.dim), name="query")
        self.key = layers.EinsumDense("btd,dhk->bthk", (None, self.heads, self.dim), name="key")
        self.value = layers.EinsumDense("btd,dhk->bthk", (None, self.heads, self.dim), name="value")
        for each in (self.query, self.key, self.value):
            each.build(shape)
        self.output_map = layers.EinsumDense("bthk,hkd->btd", (None, shape[-1]), name="output")
        self.output_map.build((*shape[:-1], self.heads, self.dim))

    def call(self, x, value, attention_mask=None, training=None):
        query, key = self.query(x), self.key(value)
        positions = ops.cast(ops.arange(ops.shape(key)[1]), self.compute_dtype)
        key = key + ops.reshape(positions, (1, -1, 1, 1))
        weights = ops.softmax(ops.einsum("bthk,bshk->bhts", query, key))
        return self.output_map(ops.einsum("bhts,bshk->bthk", weights, self.value(value)))

    def compute_output_shape(self, shape, value_shape=None):
        return shape


class Decoder(layers.Layer):
    """A block of a decoder: its mask asks for the number of samples and of steps."""

    def __init__(self, attention, hidden, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.hidden = hidden
        self.activation = "a name that is no activation"

    def build(self, shape):
        self.attention.build(shape, shape)
        self.up = layers.Dense(self.hidden, "gelu", name="up")
        self.down = layers.Dense(shape[-1], name="down")
        for each in (*self.norms, self.up):
            each.build(shape)
        self.down.build((*shape[:-1], self.hidden))

    def call(self, x, training=None):
        samples, steps = ops.shape(x)[:2]
        places = ops.arange(steps)
        mask = ops.broadcast_to(places[:, None] >= places[None], (samples, steps, steps))
        normed = self.norms[0](x)
        attended = self.attention(normed, value=normed, attention_mask=mask)
        x = x + (attended[0] if isinstance(attended, tuple) else attended)
        return x + self.down(self.up(self.norms[1](x, training=training)))

    def compute_output_shape(self, shape):
        return shape


ATTENTION = {
    "of Keras": lambda: layers.MultiHeadAttention(2, 3, name="attention"),
    "with another argument": lambda: CachedAttention(2, 3, name="attention"),
    "with another output": lambda: AttentionWithCache(2, 3, name="attention"),
    "of its own": lambda: OwnAttention(2, 3, name="attention"),
}


def decoder(attention="of Keras", num_layers=2):
    """Returns a language model of blocks of a decoder, for any number of steps."""
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(11, 6, name="tokens")(tokens)
    for number in range(num_layers):
        x = Decoder(ATTENTION[attention](), 10, name=f"block_{number}")(x)
    return keras.Model(tokens, layers.Dense(11, name="readout")(x))
