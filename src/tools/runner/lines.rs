//! Lines of a tool, with a cap on each.
//!
//! Must never hold more of a line than its cap, however long it is, and never lose what was read when a read is dropped half-way.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A line, without its end. The last one may have had none.
    Line {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether it was ended.
        is_whole: bool,
    },
    /// A line that was too long, with its length. Nothing of it is kept.
    TooLong(u64),
    /// Nothing more.
    End,
}

/// Reads lines.
pub(super) struct Lines<R> {
    from: R,
    limit: usize,
    line: Vec<u8>,
    /// Bytes of a line that is too long; 0 where it is not.
    over: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// From this, at most so many bytes each.
    pub(super) fn new(from: R, limit: usize) -> Self {
        Self { from, limit, line: Vec::new(), over: 0 }
    }

    /// The next line. May be dropped at any time: the next call goes on.
    pub(super) async fn next(&mut self) -> io::Result<Came> {
        loop {
            let bytes = self.from.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(self.took(false));
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let used = end.map_or(bytes.len(), |end| end + 1);
            if self.over > 0 {
                self.over += part.len() as u64;
            } else if self.line.len() + part.len() > self.limit {
                self.over = (self.line.len() + part.len()) as u64;
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            self.from.consume(used);
            if end.is_some() {
                return Ok(self.took(true));
            }
        }
    }

    fn took(&mut self, is_whole: bool) -> Came {
        match (std::mem::take(&mut self.over), std::mem::take(&mut self.line)) {
            (0, bytes) if bytes.is_empty() && !is_whole => Came::End,
            (0, bytes) => Came::Line { bytes, is_whole },
            (over, _) => Came::TooLong(over),
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    async fn all(text: &str, chunk: usize) -> Vec<Came> {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(chunk, text.as_bytes()), 5);
        let mut all = Vec::new();
        loop {
            match lines.next().await.unwrap() {
                Came::End => return all,
                came => all.push(came),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_come() {
        let line = |text: &str, is_whole| Came::Line { bytes: text.as_bytes().to_vec(), is_whole };
        for chunk in 1..20 {
            let got = all("abcde\n\nabcdefghijkl\nab\nhalf", chunk).await;
            assert_eq!(
                got,
                [line("abcde", true), line("", true), Came::TooLong(12), line("ab", true), line("half", false)]
            );
            assert_eq!(all("abcdefgh", chunk).await, [Came::TooLong(8)]);
        }
    }
}
