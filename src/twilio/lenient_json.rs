//! JSON as others write it, read also where it is not quite JSON.
//!
//! Flows, plugins and SDKs write attributes, and what one of them wrote wrong must not hide the call that stands beside it. So a
//! text that is JSON but for these faults is repaired:
//!
//! | fault | read as |
//! |---|---|
//! | half a surrogate pair, an escape that there is not | U+FFFD |
//! | a raw line break or control character within a string | U+FFFD |
//! | the same outside of strings, a byte order mark | nothing |
//! | `NaN`, `Infinity`, a number beyond any, other words | `null` |
//! | a member that nests deeper than the parser goes | `null` |

use serde_json::Value;
use std::iter::Peekable;
use std::str::Chars;

/// `serde_json` refuses what is nested deeper, for the sake of the stack.
const PARSERS_DEPTH: usize = 127;

/// So far down, what nests too deep is looked for member by member: a delivery's data, its payload and the attributes in it.
const MOST_LEVELS: usize = 5;

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Reads a text, repaired where that is needed; `None` when that does not help.
pub(super) fn read(text: &str) -> Option<Value> {
    read_within(text, MOST_LEVELS)
}

fn read_within(text: &str, levels: usize) -> Option<Value> {
    let whole = serde_json::from_str(text).or_else(|_| serde_json::from_str(&repaired(text))).ok();
    whole.or_else(|| without_depths(text, levels))
}

/// An object that nests deeper than the parser goes, without the values that do; `None` of any other text.
fn without_depths(text: &str, levels: usize) -> Option<Value> {
    let levels = levels.checked_sub(1)?;
    if depth(text) <= PARSERS_DEPTH {
        return None;
    }
    let members = members(text)?.into_iter();
    Some(members.map(|(name, value)| (name, read_within(value, levels).unwrap_or_default())).collect())
}

/// How deep lists and objects are nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for (_, byte) in outside_strings(text) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The bytes that are in no string, and the quotation marks around strings, with their places.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut is_string, mut escaped) = (false, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        if escaped {
            escaped = false;
            return false;
        }
        let is_mark = *byte == b'"';
        escaped = is_string && *byte == b'\\';
        is_string ^= is_mark;
        is_mark || !is_string
    })
}

/// The texts of an array's elements, so that each can be judged alone; `None` when it is no array from beginning to end.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    parts(text, '[', ']')
}

/// The names of an object's members and the texts of their values. A member without a readable name is left out.
pub(super) fn members(text: &str) -> Option<Vec<(String, &str)>> {
    Some(parts(text, '{', '}')?.into_iter().filter_map(member).collect())
}

fn member(part: &str) -> Option<(String, &str)> {
    let part = part.trim_start_matches(is_padding);
    let end = string_end(part.strip_prefix('"')?)?;
    let (name, value) = part.split_at_checked(end + 2)?;
    let Value::String(name) = read(name)? else { return None };
    Some((name, value.trim_start_matches(is_padding).strip_prefix(':')?))
}

/// Where a string ends whose first quotation mark has been read.
fn string_end(rest: &str) -> Option<usize> {
    let mut escaped = false;
    rest.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn is_padding(c: char) -> bool {
    c.is_whitespace() || c.is_control() || c == '\u{feff}'
}

/// What stands between the outermost commas.
fn parts(text: &str, open: char, close: char) -> Option<Vec<&str>> {
    let inner = text.trim_matches(is_padding).strip_prefix(open)?.strip_suffix(close)?;
    let (mut depth, mut begin, mut parts) = (0_usize, 0, Vec::new());
    let mut is_string = false;
    for (at, byte) in outside_strings(inner) {
        match byte {
            b'"' => is_string = !is_string,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                parts.push(inner.get(begin..at)?);
                begin = at + 1;
            }
            _ => {}
        }
    }
    let last = inner.get(begin..)?;
    if !parts.is_empty() || !last.trim_matches(is_padding).is_empty() {
        parts.push(last);
    }
    (depth == 0 && !is_string).then_some(parts)
}

fn repaired(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => string(&mut chars, &mut json),
            '{' | '}' | '[' | ']' | ',' | ':' | ' ' | '\t' | '\n' | '\r' => json.push(c),
            _ if is_padding(c) => {}
            _ => {
                let mut word = String::from(c);
                let is_more = |c: &char| !is_padding(*c) && !"{}[],:\"".contains(*c);
                while let Some(c) = chars.next_if(is_more) {
                    word.push(c);
                }
                let is_value = serde_json::from_str::<Value>(&word).is_ok();
                json.push_str(if is_value { &word } else { "null" });
            }
        }
    }
    json
}

/// The rest of a string, to its quotation mark or the end of the text.
fn string(chars: &mut Peekable<Chars<'_>>, json: &mut String) {
    json.push('"');
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => escape(chars, json),
            _ if c < ' ' => json.push(REPLACEMENT),
            _ => json.push(c),
        }
    }
    json.push('"');
}

/// What follows a backslash.
fn escape(chars: &mut Peekable<Chars<'_>>, json: &mut String) {
    match chars.next() {
        Some(c @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => json.extend(['\\', c]),
        Some('u') => {
            let first = unit(chars);
            let second = match first {
                // Only with its other half is it a character.
                Some(0xd800..=0xdbff) => second_half(chars),
                _ => None,
            };
            let units = [first, second].into_iter().flatten();
            match first {
                Some(_) => json.extend(char::decode_utf16(units).map(|c| c.unwrap_or(REPLACEMENT)).flat_map(escaped)),
                None => json.push(REPLACEMENT),
            }
        }
        Some(_) | None => json.push(REPLACEMENT),
    }
}

/// Four hexadecimal digits.
fn unit(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_hexdigit)).take(4).collect();
    if digits.len() == 4 { u16::from_str_radix(&digits, 16).ok() } else { None }
}

/// The escape that follows, if it is the second half of a pair. Otherwise nothing is read.
fn second_half(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut ahead = chars.clone();
    if (ahead.next(), ahead.next()) != (Some('\\'), Some('u')) {
        return None;
    }
    let second = unit(&mut ahead).filter(|unit| (0xdc00..=0xdfff).contains(unit))?;
    *chars = ahead;
    Some(second)
}

/// A character as it may stand in a string.
fn escaped(c: char) -> Vec<char> {
    match c {
        '"' | '\\' => vec!['\\', c],
        _ if c < ' ' => format!("\\u{:04x}", u32::from(c)).chars().collect(),
        _ => vec![c],
    }
}
