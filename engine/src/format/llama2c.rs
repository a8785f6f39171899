//! llama2.c's own files: a model `.bin`, and the `tokenizer.bin` that goes with it.
//!
//! Follows run.c, export.py and tokenizer.py of karpathy/llama2.c. Version 0 has a header of seven integers and no mark of
//! its own; the others begin with "ak42" (as a number, so that the bytes are "24ka"). Versions 0 and 1 hold 32-bit floats;
//! version 2 holds matrices of 8-bit weights, a scale for each group of them behind each. All of them stay where they are.
//! What is read is described as a GGUF file of the architecture "llama" would be.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use hashbrown::HashMap;

use super::gguf::{Array, Gguf, Layout, Strings, Tensor, Value, bad_value};
use super::reader::Reader;
use crate::Error;
use crate::quant::{Groups, QK, RowLayout};

/// `0x616b3432`, "ak42".
const MAGIC: [u8; 4] = 0x616b_3432_u32.to_le_bytes();

/// Where the weights begin, in bytes: behind seven integers in version 0, at a fixed place from version 1 on.
const LEGACY_HEADER_BYTES: usize = 7 * 4;
const HEADER_BYTES: usize = 256;

/// Above any model there is, and low enough that random bytes are not taken for a header.
const MAX_DIMENSION: u32 = 1 << 24;

/// Above any model there is, so that the descriptions of the tensors fit into a small machine.
const MAX_LAYERS: u32 = 1 << 12;

/// ggml's numbers of 32-bit floats and of signed bytes.
const F32: u32 = 0;
const I8: u32 = 24;

/// What run.c adds to the mean square in RMS norm.
const NORM_EPS: f64 = 1e-5;

/// The tokens that sentencepiece's vocabularies begin with.
const UNKNOWN: u64 = 0;
const BOS: u64 = 1;
const EOS: u64 = 2;

/// A model file: its shape, and where its weights begin.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    file: &'a [u8],
    version: u32,
    dim: u32,
    hidden_dim: u32,
    n_layers: u32,
    n_heads: u32,
    n_kv_heads: u32,
    vocab_size: u32,
    seq_len: u32,
    /// Whether the embedding also makes the logits.
    is_shared: bool,
    /// How many weights share a scale, where they are 8-bit.
    group_len: Option<u32>,
}

/// A tokenizer file. Having one tells that every piece lies inside the file.
#[derive(Clone, Debug)]
pub struct TokenizerBin<'a> {
    /// Behind the length of the longest piece: a score, a length and the text of each.
    pieces: Strings<'a>,
}

impl<'a> Checkpoint<'a> {
    /// Return the model in `file`, or `None` when that begins like no model of llama2.c.
    ///
    /// # Errors
    /// When the file says that it is a model of llama2.c, and is of a version or a shape that the engine does not have.
    pub fn parse(file: &'a [u8]) -> Result<Option<Self>, Error> {
        let mut reader = Reader { file, at: 0 };
        let has_magic = file.get(..4) == Some(&MAGIC);
        let mut version = 0;
        if has_magic {
            reader.take(HEADER_BYTES as u64, "the header")?;
            reader.at = MAGIC.len();
            version = reader.u32("the version")?;
            if !(1..=2).contains(&version) {
                let (found, known) = (version.to_string(), "0 and 1 (32-bit floats), 2 (8-bit groups)");
                return Err(Error::Unsupported { what: "llama2.c version", found, known });
            }
        } else if file.len() < LEGACY_HEADER_BYTES {
            return Ok(None);
        }
        let mut header = [0; 7];
        for field in &mut header {
            *field = reader.u32("the header")?;
        }
        // Version 0 says by the sign of the vocabulary's size whether the output has weights of its own.
        let is_shared = if has_magic { reader.take(1, "the header")? != [0] } else { header[5] as i32 > 0 };
        if !has_magic {
            header[5] = (header[5] as i32).unsigned_abs();
        }
        let group_len = if version == 2 { Some(reader.u32("the header")?) } else { None };
        let [dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len] = header;
        let fits = header.iter().all(|field| (1..=MAX_DIMENSION).contains(field))
            && n_layers <= MAX_LAYERS
            && dim.is_multiple_of(n_heads)
            && n_heads.is_multiple_of(n_kv_heads);
        if !fits && !has_magic {
            return Ok(None);
        }
        if !fits {
            let expected = format!(
                "numbers of 1 to {MAX_DIMENSION}, at most {MAX_LAYERS} layers, heads that divide what they share"
            );
            return Err(bad_value("the header of a llama2.c model", &expected, format!("{header:?}")));
        }
        if let Some(group_len) = group_len {
            check_groups(group_len, dim, hidden_dim)?;
        }
        Ok(Some(Self {
            file,
            version,
            dim,
            hidden_dim,
            n_layers,
            n_heads,
            n_kv_heads,
            vocab_size,
            seq_len,
            is_shared,
            group_len,
        }))
    }

    /// Return the number of tokens.
    pub fn n_vocab(&self) -> usize {
        self.vocab_size as usize
    }

    /// Return the description of the model called `name`, with `tokenizer`.
    ///
    /// # Errors
    /// When the file is shorter or longer than its header says, or the tokenizer is of another size.
    pub fn describe(&self, name: &'a str, tokenizer: &TokenizerBin<'a>) -> Result<Gguf<'a>, Error> {
        if tokenizer.n_vocab() != self.n_vocab() {
            let expected = format!("the {} of the model", self.vocab_size);
            return Err(bad_value(
                "the tokenizer's number of tokens",
                &expected,
                tokenizer.n_vocab().to_string(),
            ));
        }
        let mut metadata = tokenizer.metadata();
        for (key, value) in [
            ("llama.context_length", self.seq_len),
            ("llama.embedding_length", self.dim),
            ("llama.block_count", self.n_layers),
            ("llama.feed_forward_length", self.hidden_dim),
            ("llama.attention.head_count", self.n_heads),
            ("llama.attention.head_count_kv", self.n_kv_heads),
        ] {
            metadata.insert(key, Value::Unsigned(value.into()));
        }
        metadata.insert("llama.attention.layer_norm_rms_epsilon", Value::Float(NORM_EPS));
        metadata.insert("general.architecture", Value::String(b"llama"));
        metadata.insert("general.name", Value::String(name.as_bytes()));
        Ok(Gguf { metadata, tensors: self.tensors()?, file_bytes: self.file.len() as u64 })
    }

    /// Return the tensors under the names that they have in GGUF.
    fn tensors(&self) -> Result<HashMap<Cow<'a, str>, Tensor<'a>>, Error> {
        let [dim, hidden_dim, vocab_size] = [self.dim, self.hidden_dim, self.vocab_size].map(u64::from);
        let n_embd_head = dim / u64::from(self.n_heads);
        let n_embd_kv = n_embd_head * u64::from(self.n_kv_heads);
        let start = if self.version == 0 { LEGACY_HEADER_BYTES } else { HEADER_BYTES };
        let reader = Reader { file: self.file, at: start };
        let mut weights = Weights { reader, tensors: HashMap::new(), group_len: None };
        let [norm, square] = [[dim, 1], [dim, dim]];
        let attention = [("attn_q", square), ("attn_k", [dim, n_embd_kv]), ("attn_v", [dim, n_embd_kv])];
        let feed_forward =
            [("ffn_gate", [dim, hidden_dim]), ("ffn_down", [hidden_dim, dim]), ("ffn_up", [dim, hidden_dim])];
        if self.version == 0 {
            weights.take("token_embd", [dim, vocab_size])?;
            weights.take_layers(self.n_layers, "attn_norm", norm)?;
        } else {
            weights.take_layers(self.n_layers, "attn_norm", norm)?;
            weights.take_layers(self.n_layers, "ffn_norm", norm)?;
            weights.take("output_norm", norm)?;
            // Only the norms are floats in every version.
            weights.group_len = self.group_len;
            weights.take("token_embd", [dim, vocab_size])?;
        }
        for (name, shape) in attention {
            weights.take_layers(self.n_layers, name, shape)?;
        }
        weights.take_layers(self.n_layers, "attn_output", square)?;
        if self.version == 0 {
            weights.take_layers(self.n_layers, "ffn_norm", norm)?;
        }
        for (name, shape) in feed_forward {
            weights.take_layers(self.n_layers, name, shape)?;
        }
        if self.version == 0 {
            weights.take("output_norm", norm)?;
            // A table of the rotations, cosines and sines, that is computed here and in run.c.
            let n_rotations = u64::from(self.seq_len) * n_embd_head / 2;
            weights.reader.take(2 * 4 * n_rotations, "the table of rotations")?;
        }
        if !self.is_shared {
            weights.take("output", [dim, vocab_size])?;
        }
        let end = weights.reader.at;
        if end != self.file.len() {
            let expected = format!("the {end} bytes that its header tells");
            return Err(bad_value("the length of the file", &expected, self.file.len().to_string()));
        }
        Ok(weights.tensors)
    }
}

/// The weights that were read so far, and the place of the next.
struct Weights<'a> {
    reader: Reader<'a>,
    tensors: HashMap<Cow<'a, str>, Tensor<'a>>,
    /// How many of the next weights share a scale; they are floats where there is none.
    group_len: Option<u32>,
}

impl Weights<'_> {
    /// Read the weights of `shape` for each of `n_layers` layers.
    fn take_layers(&mut self, n_layers: u32, name: &str, shape: [u64; 2]) -> Result<(), Error> {
        (0..n_layers).try_for_each(|i| self.take(&format!("blk.{i}.{name}"), shape))
    }

    /// Read the weights of `shape` as those of `name`.
    fn take(&mut self, name: &str, shape: [u64; 2]) -> Result<(), Error> {
        let name: Cow<'_, str> = Cow::Owned(String::from(name) + ".weight");
        // At most 2^48, as no dimension is above 2^24.
        let n_weights = shape[0] * shape[1];
        let mut tensor = Tensor {
            name: name.clone(),
            shape: shape.to_vec(),
            ggml_type: F32,
            layout: RowLayout::Plain,
            bytes: &[],
            groups: None,
        };
        match self.group_len {
            None => tensor.bytes = self.reader.take(4 * n_weights, &name)?,
            Some(group_len) => {
                let quants = self.reader.take(n_weights, &name)?;
                let what = format!("the scales of {name}");
                let scales = self.reader.take(4 * (n_weights / u64::from(group_len)), &what)?;
                tensor.ggml_type = I8;
                tensor.groups = Groups::new(quants, scales, group_len as usize);
            }
        }
        self.tensors.insert(name, tensor);
        Ok(())
    }
}

impl<'a> TokenizerBin<'a> {
    /// Return the tokenizer in `file`, or `None` when that is none: the format has no mark of its own, but every length in
    /// it has to fit.
    pub fn parse(file: &'a [u8]) -> Option<Self> {
        let (longest, pieces) = file.split_first_chunk::<4>()?;
        let longest = u32::from_le_bytes(*longest);
        let mut reader = Reader { file: pieces, at: 0 };
        let mut len = 0;
        while reader.at < pieces.len() {
            reader.u32("a score").ok()?;
            let piece_bytes = reader.u32("a length").ok().filter(|&piece_bytes| piece_bytes <= longest)?;
            reader.take(piece_bytes.into(), "a piece").ok()?;
            len += 1;
        }
        (len > 0).then_some(Self { pieces: Strings { len, bytes: pieces, layout: Layout::Llama2c } })
    }

    /// Return the number of tokens.
    pub fn n_vocab(&self) -> usize {
        self.pieces.len()
    }

    /// Return the tokenizer as GGUF's metadata tell it.
    fn metadata(&self) -> HashMap<&'a str, Value<'a>> {
        let types = (0..).zip(self.pieces.iter()).map(|(token, piece)| match token {
            // The numbers are those of `tokenizer.ggml.token_type`.
            UNKNOWN => 2,
            BOS | EOS => 3,
            _ if is_byte(piece) => 6,
            _ => 1,
        });
        let types = Array::of_bytes(types);
        let mut metadata = HashMap::from([
            ("tokenizer.ggml.model", Value::String(b"llama2.c")),
            ("tokenizer.ggml.tokens", Value::Strings(self.pieces)),
            ("tokenizer.ggml.scores", Value::Array(Array::of_floats(self.scores()))),
            ("tokenizer.ggml.token_type", Value::Array(types)),
        ]);
        let ids = [
            ("tokenizer.ggml.bos_token_id", BOS),
            ("tokenizer.ggml.eos_token_id", EOS),
            // Its models were trained on texts one behind the other, each after a begin token: that ends a text too (run.c).
            ("tokenizer.ggml.eot_token_id", BOS),
        ];
        for (key, token) in ids.into_iter().filter(|&(_, token)| token < self.n_vocab() as u64) {
            metadata.insert(key, Value::Unsigned(token));
        }
        metadata
    }

    /// Return the pieces' scores.
    fn scores(&self) -> impl Iterator<Item = f32> + use<'a> {
        let mut rest = self.pieces.bytes;
        self.pieces.iter().map_while(move |piece| {
            let (score, after) = rest.split_first_chunk::<4>()?;
            rest = after.get(4 + piece.len()..)?;
            Some(f32::from_le_bytes(*score))
        })
    }
}

/// Return an error unless rows of `dim` and `hidden_dim` are whole blocks of 8-bit weights, and every matrix, which has `dim`
/// rows or columns, is whole groups.
fn check_groups(group_len: u32, dim: u32, hidden_dim: u32) -> Result<(), Error> {
    let what = |what: &str| format!("{what} of a llama2.c model of version 2");
    if !Groups::is_group_len(group_len as usize) || !dim.is_multiple_of(group_len) {
        let expected = format!("a power of two of {QK} or more that divides dim, which is {dim}");
        return Err(bad_value(&what("the group size"), &expected, group_len.to_string()));
    }
    if !(hidden_dim as usize).is_multiple_of(QK) {
        let expected = format!("a multiple of {QK} (version 1 may have any)");
        return Err(bad_value(&what("hidden_dim"), &expected, hidden_dim.to_string()));
    }
    Ok(())
}

/// Return whether `piece` names a byte, `<0x0A>`.
fn is_byte(piece: &[u8]) -> bool {
    core::str::from_utf8(piece).is_ok_and(|piece| crate::tokenizer::byte_of(piece).is_some())
}
