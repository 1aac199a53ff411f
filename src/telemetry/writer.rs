//! A writer between the log's formatter and its file: nothing passes but whole lines without secrets.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use super::redact;

/// Makes [`LineWriter`]s on top of another maker's writers.
pub(super) struct Redacting<M>(pub(super) M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = LineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { inner: self.0.make_writer(), held: Vec::new() }
    }
}

/// Holds what it is given until a line is complete, so that a secret cannot slip through in two pieces.
pub(super) struct LineWriter<W: Write> {
    inner: W,
    held: Vec<u8>,
}

impl<W: Write> LineWriter<W> {
    fn pass(&mut self, upto: usize) -> io::Result<()> {
        let lines: Vec<u8> = self.held.drain(..upto).collect();
        let clean = redact::visible_json(&redact::redact(&String::from_utf8_lossy(&lines)));
        self.inner.write_all(clean.as_bytes())
    }
}

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if let Some(newline) = self.held.iter().rposition(|byte| *byte == b'\n') {
            self.pass(newline + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for LineWriter<W> {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            self.held.push(b'\n');
            // Nobody is left to tell.
            let _ = self.pass(self.held.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_two_pieces_is_hidden() {
        let mut out = Vec::new();
        {
            let mut writer = LineWriter { inner: &mut out, held: Vec::new() };
            writer.write_all(b"one sk-cana").unwrap();
            writer.write_all(b"rycanary two\nthree").unwrap();
            writer.write_all(b" ghp_canarycanary").unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "one sk-*** two\nthree ghp_***\n");
    }
}
