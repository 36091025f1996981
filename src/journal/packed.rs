//! What is kept of calls that are over, packed: JSON, deflated after a dictionary of typical facts, as zlib streams (RFC 1950).
//!
//! A stream names its dictionary and has a checksum. The dictionary is part of the format: its file is never changed, and a better
//! one is a file of its own beside it.

use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression, Decompress, FlushDecompress};
use std::io::{Read as _, Write as _};

/// One fact of each common kind and a summary, without SIDs and times; the most common last, where references are short.
const DICTIONARY: &[u8] = include_bytes!("packed.dictionary");

/// The facts of a call are some ten thousand bytes, and seldom a million. A damaged stream could go on for ever.
const LONGEST: u64 = 256 << 20;

/// A fact as a row has it: its identity, of events, and its JSON.
pub(super) type StoredFact = (Option<String>, String);

/// The facts of a call, in order.
pub(super) fn pack_facts(facts: &[StoredFact]) -> std::io::Result<Vec<u8>> {
    let lines = facts.iter().map(|(identity, body)| {
        // In JSON, line ends and tabs stand between tokens only.
        let identity = identity.as_ref().map(|identity| serde_json::Value::from(identity.as_str()).to_string());
        format!("{}\t{}\n", body.replace(['\n', '\t'], " "), identity.unwrap_or_default())
    });
    pack(&lines.collect::<String>())
}

/// `None` when they are damaged.
pub(super) fn unpack_facts(packed: &[u8]) -> Option<Vec<StoredFact>> {
    let lines = unpack(packed)?;
    let fact = |line: &str| {
        let (body, identity) = line.split_once('\t')?;
        let identity = if identity.is_empty() { None } else { Some(serde_json::from_str(identity).ok()?) };
        Some((identity, body.to_owned()))
    };
    lines.lines().map(fact).collect()
}

pub(super) fn pack(text: &str) -> std::io::Result<Vec<u8>> {
    let mut deflater = Compress::new(Compression::default(), true);
    deflater.set_dictionary(DICTIONARY)?;
    let mut encoder = ZlibEncoder::new_with_compress(Vec::new(), deflater);
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// `None` when it is damaged.
pub(super) fn unpack(packed: &[u8]) -> Option<String> {
    let mut inflater = Decompress::new(true);
    // The stream begins with the name of its dictionary, and stops there until it is given.
    inflater.decompress(packed, &mut [], FlushDecompress::None).err()?.needs_dictionary()?;
    inflater.set_dictionary(DICTIONARY).ok()?;
    let rest = packed.get(usize::try_from(inflater.total_in()).ok()?..)?;
    let mut text = String::new();
    ZlibDecoder::new_with_decompress(rest, inflater).take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}
