//! Converts between a host's bytes and text.

use std::borrow::Cow;

use encoding_rs::{CoderResult, DecoderResult, EncoderResult, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::{CommandProblem, ConfigProblem, Error};
use crate::output::LineEnds;

/// Capacity that the text of a line keeps for the next line.
const TEXT_RETAINED: usize = 64 * 1024;

/// An encoding of the WHATWG's Encoding standard. The encoding `replacement` is excluded, because
/// it decodes any input as a single error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding(&'static encoding_rs::Encoding);

impl Default for Encoding {
    fn default() -> Self {
        Self(UTF_8)
    }
}

/// How lines of output become text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Decoding {
    pub encoding: Encoding,
    /// Whether a line that is not valid in the encoding is an error. If `false`, invalid sequences
    /// are replaced by U+FFFD.
    pub strict: bool,
}

impl Decoding {
    /// Decodes a line. At the start of a stream, the encoding's byte order mark is not part of the
    /// text. A line of UTF-8 that is valid is returned as it is; any other text is written to
    /// `text`, in place of what that contains.
    ///
    /// # Errors
    /// Returns the line if it is not valid in the encoding and the decoding is strict.
    pub(crate) fn decode<'a>(
        self,
        line: &'a [u8],
        at_start: bool,
        text: &'a mut String,
    ) -> Result<&'a str, Malformed> {
        let Self { encoding, strict } = self;
        let mark = encoding.mark(line, at_start);
        let bytes = &line[mark..];
        if encoding.0 == UTF_8
            && let Ok(valid) = str::from_utf8(bytes)
        {
            return Ok(valid);
        }
        let is_malformed = encoding.decode_to(bytes, text);
        if is_malformed && strict {
            return Err(Malformed { offset: mark + encoding.first_malformed(bytes), line: line.to_vec() });
        }
        Ok(text)
    }
}

/// The error for a line that is not valid in its encoding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub line: Vec<u8>,
    /// The offset of the first invalid sequence of bytes.
    pub offset: usize,
}

impl Encoding {
    pub(crate) fn for_label(label: &str) -> Result<Self, Error> {
        let encoding = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
        let unknown = || ConfigProblem::Invalid {
            setting: "encoding",
            value: label.to_owned(),
            problem: "no label of the WHATWG's Encoding standard".to_owned(),
        };
        encoding.map(Self).ok_or_else(|| unknown().of_command())
    }

    pub(crate) fn name(self) -> &'static str {
        self.0.name()
    }

    pub(crate) fn line_ends(self) -> LineEnds {
        match () {
            () if self.0 == UTF_16LE => LineEnds::Utf16Le,
            () if self.0 == UTF_16BE => LineEnds::Utf16Be,
            () => LineEnds::Bytes,
        }
    }

    /// Replaces `text` by the text of these bytes. Returns whether some of them are invalid, and so
    /// became U+FFFD.
    fn decode_to(self, mut bytes: &[u8], text: &mut String) -> bool {
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let mut is_malformed = false;
        text.clear();
        // The decoder writes to every page of the capacity.
        text.shrink_to(bytes.len().max(TEXT_RETAINED));
        text.reserve(bytes.len());
        loop {
            let (result, read, has_replaced) = decoder.decode_to_string(bytes, text, true);
            is_malformed |= has_replaced;
            bytes = &bytes[read..];
            match result {
                CoderResult::InputEmpty => return is_malformed,
                CoderResult::OutputFull => {
                    text.reserve(decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(usize::MAX));
                }
            }
        }
    }

    /// Decodes several lines together with their line ends, if the text of each line can then be
    /// cut out of the result. Otherwise, returns `lines` unchanged as the error. The first line of
    /// a stream must not be among them, because its byte order mark is not part of the text.
    pub(crate) fn decode_lines(self, lines: Vec<u8>) -> Result<String, Vec<u8>> {
        // In other encodings, the end of a line may leave the decoder in a state other than the one
        // in which the next line must be decoded.
        if self.0 != UTF_8 {
            return Err(lines);
        }
        String::from_utf8(lines).map_err(|error| error.into_bytes())
    }

    fn first_malformed(self, bytes: &[u8]) -> usize {
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let mut text = [0; 256];
        let mut offset = 0;
        loop {
            let (result, read, _) =
                decoder.decode_to_utf8_without_replacement(&bytes[offset..], &mut text, true);
            offset += read;
            match result {
                DecoderResult::OutputFull => {}
                DecoderResult::InputEmpty => return offset,
                DecoderResult::Malformed(len, behind) => {
                    return offset.saturating_sub(usize::from(len) + usize::from(behind));
                }
            }
        }
    }

    /// The length of the byte order mark at the beginning of the line, or 0 if there is none.
    fn mark(self, line: &[u8], at_start: bool) -> usize {
        let mark: &[u8] = match () {
            () if !at_start => b"",
            () if self.0 == UTF_8 => b"\xef\xbb\xbf",
            () if self.0 == UTF_16LE => b"\xff\xfe",
            () if self.0 == UTF_16BE => b"\xfe\xff",
            () => b"",
        };
        if line.starts_with(mark) { mark.len() } else { 0 }
    }

    /// Encodes a text for sending. For UTF-8, the text is sent unchanged, whether or not it is
    /// well-formed. For UTF-16, it is sent unchanged too, because UTF-16 contains NUL bytes, which
    /// a command cannot contain.
    pub(crate) fn encode(self, text: &[u8]) -> Result<Cow<'_, [u8]>, CommandProblem> {
        if self.0.output_encoding() == UTF_8 {
            return Ok(Cow::Borrowed(text));
        }
        let encoding = self.name();
        let text = str::from_utf8(text)
            .map_err(|error| CommandProblem::NotUtf8 { offset: error.valid_up_to(), encoding })?;
        let mut encoder = self.0.new_encoder();
        let mut bytes = Vec::new();
        let mut done = 0;
        loop {
            let rest = &text[done..];
            bytes.reserve(
                encoder.max_buffer_length_from_utf8_without_replacement(rest.len()).unwrap_or(rest.len()),
            );
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
            done += read;
            match result {
                EncoderResult::InputEmpty => return Ok(Cow::Owned(bytes)),
                EncoderResult::OutputFull => {}
                // The encoder has consumed the character. It may report a different one, so the
                // offset is computed from the text.
                EncoderResult::Unmappable(_) => {
                    let offset = text[..done].char_indices().next_back().map_or(0, |(offset, _)| offset);
                    return Err(CommandProblem::Unencodable { offset, encoding });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
