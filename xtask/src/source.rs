//! Reading Rust text just well enough for the house rules.
//!
//! The rules look for words such as `select!` or `HashMap`. A comment that explains why a word is refused, or a
//! string that prints it, must not trip the rule, so rules look at a [`CodeView`]: the same text, the same lines, with
//! comments and the insides of literals turned into blanks. A full parser would be exact and would cost the build of
//! `xtask` half a minute; a lexer of comments and literals is what the rules need.

/// Rust text whose comments and literals are blanked out; byte offsets and lines are those of the original.
#[derive(Debug, Clone)]
pub struct CodeView {
    text: String,
}

impl CodeView {
    /// Blanks comments, strings and character literals of `source`.
    ///
    /// Text that is no Rust at all gives some view, never a panic: an unclosed literal runs to the end of the file.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let bytes = source.as_bytes();
        let mut view = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let end = literal_or_comment_end(bytes, at);
            match end {
                Some(end) => {
                    view.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
                    at = end;
                }
                None => {
                    view.push(bytes[at]);
                    at += 1;
                }
            }
        }
        // Literals end on character boundaries, but a file that is no Rust may be cut anywhere.
        Self { text: String::from_utf8_lossy(&view).into_owned() }
    }

    /// The blanked text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line, counted from 1, of a byte offset in [`Self::text`].
    #[must_use]
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|&&b| b == b'\n').count()
    }

    /// Offsets at which `needle` stands with no identifier character directly before it; nor directly after it, if
    /// the needle ends in one. So `HashMap` is not found in `MyHashMap`, and `tokio::` is found in `tokio::sync`.
    #[must_use]
    pub fn words(&self, needle: &str) -> Vec<usize> {
        let bytes = self.text.as_bytes();
        let ends_in_word = needle.bytes().last().is_some_and(is_word);
        let starts_with_word = needle.bytes().next().is_some_and(is_word);
        self.text
            .match_indices(needle)
            .map(|(at, _)| at)
            .filter(|&at| !starts_with_word || at == 0 || !is_word(bytes[at - 1]))
            .filter(|&at| !ends_in_word || bytes.get(at + needle.len()).is_none_or(|&next| !is_word(next)))
            .collect()
    }

    /// The text from `offset` on, without leading white space.
    #[must_use]
    pub fn rest(&self, offset: usize) -> &str {
        self.text.get(offset..).unwrap_or_default().trim_start()
    }
}

/// Whether a byte can be part of an identifier. Bytes of other alphabets count, so that words are not cut in two.
#[must_use]
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The identifier at the start of `text`, or an empty string.
#[must_use]
pub fn identifier(text: &str) -> &str {
    let end = text.bytes().position(|b| !is_word(b)).unwrap_or(text.len());
    &text[..end]
}

/// The end of the comment or literal that starts at `at`, or nothing when code stands there.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(rest.iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n));
    }
    if rest.starts_with(b"/*") {
        return Some(block_comment_end(bytes, at));
    }
    let inside_word = at > 0 && is_word(bytes[at - 1]);
    match bytes[at] {
        b'"' => Some(string_end(bytes, at)),
        b'r' | b'b' | b'c' if !inside_word => prefixed_string_end(bytes, at),
        b'\'' => character_end(bytes, at),
        _ => None,
    }
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut here) = (0_usize, at);
    while here < bytes.len() {
        if bytes[here..].starts_with(b"/*") {
            depth += 1;
            here += 2;
        } else if bytes[here..].starts_with(b"*/") {
            depth -= 1;
            here += 2;
            if depth == 0 {
                return here;
            }
        } else {
            here += 1;
        }
    }
    bytes.len()
}

/// `at` is the opening quote.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut here = at + 1;
    while here < bytes.len() {
        match bytes[here] {
            b'\\' => here += 2,
            b'"' => return here + 1,
            _ => here += 1,
        }
    }
    bytes.len()
}

/// Strings that begin with letters: `b"…"`, `c"…"`, `r"…"`, `br#"…"#`. An identifier that begins so is code.
fn prefixed_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut here = at;
    let mut raw = false;
    while let Some(b @ (b'r' | b'b' | b'c')) = bytes.get(here) {
        raw |= *b == b'r';
        here += 1;
        if here - at > 2 {
            return None;
        }
    }
    let hashes = bytes[here..].iter().take_while(|&&b| b == b'#').count();
    if bytes.get(here + hashes) != Some(&b'"') || (hashes > 0 && !raw) {
        return None;
    }
    if !raw {
        return Some(string_end(bytes, here));
    }
    let mut closing = vec![b'"'];
    closing.resize(1 + hashes, b'#');
    let body = here + hashes + 1;
    let length = bytes[body..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(bytes.len(), |n| body + n + closing.len()))
}

/// `'x'`, `'\n'` and `'\u{1F600}'` are literals; `'a` in `&'a str` is a lifetime, and code.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    const LONGEST: usize = 12; // '\u{10FFFF}'
    if bytes.get(at + 1) == Some(&b'\\') {
        let closing = bytes.iter().skip(at + 3).take(LONGEST).position(|&b| b == b'\'')?;
        return Some(at + 3 + closing + 1);
    }
    let width = match bytes.get(at + 1)? {
        0x00..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        let source =
            "a // HashMap\n/* HashMap /* nested */ HashMap */ b\n\"HashMap \\\" HashMap\" c r#\"HashMap\"# d\n";
        let view = CodeView::new(source);
        assert!(view.words("HashMap").is_empty(), "{}", view.text());
        assert_eq!(view.text().lines().count(), source.lines().count());
        assert_eq!(view.text().split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        let view = CodeView::new("fn f<'a>(x: &'a str) { g('\"', '\\'', 'é', b'x'); HashMap }");
        assert_eq!(view.words("HashMap").len(), 1, "{}", view.text());
        assert!(view.text().contains("&'a str"));
    }

    #[test]
    fn words_have_borders() {
        let view = CodeView::new("MyHashMap HashMapped HashMap<u8> std::HashMap");
        assert_eq!(view.words("HashMap").len(), 2);
        let view = CodeView::new("tokio::sync\nmytokio::time");
        assert_eq!(view.words("tokio::"), [0]);
    }

    #[test]
    fn an_unclosed_literal_is_no_panic() {
        for source in ["\"", "r#\"abc", "'", "'\\", "/*", "b", "br", "'é", "\\"] {
            let _ = CodeView::new(source).text();
        }
    }
}
