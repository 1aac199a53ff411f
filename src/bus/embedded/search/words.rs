//! Words as the index sees them, found in a text without the index.
//!
//! Owns what counts as a word, as SQLite's tokenizer `unicode61` has it: letters and digits, without case and without the accents of Latin
//! letters. Must never find what the index would not.

/// Latin letters that have accents, after the letter that the index has for them.
const ACCENTED: &[&str] = &[
    "aàáâãäåāăą",
    "cçćĉċč",
    "dď",
    "eèéêëēĕėęě",
    "gĝğġģ",
    "hĥ",
    "iìíîïĩīĭį",
    "jĵ",
    "kķ",
    "lĺļľ",
    "nñńņň",
    "oòóôõöōŏő",
    "rŕŗř",
    "sśŝşš",
    "tţť",
    "uùúûüũūŭůűų",
    "wŵ",
    "yýÿŷ",
    "zźżž",
];

/// A character as the index has it.
fn plain(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let lower = c.to_lowercase().next().unwrap_or(c);
    let letter = |letters: &&&str| letters.chars().skip(1).any(|accented| accented == lower);
    ACCENTED.iter().find(letter).and_then(|letters| letters.chars().next()).unwrap_or(lower)
}

/// The words of a text, one after the other.
fn words_of(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// What a person typed, to be found: words that follow each other, the last of them at least as the beginning of one.
#[derive(Debug)]
pub(super) struct Phrase(Vec<String>);

impl Phrase {
    /// None where there is no letter or digit in it.
    pub(super) fn of(typed: &str) -> Option<Self> {
        let words: Vec<String> = words_of(typed).map(|word| word.chars().map(plain).collect()).collect();
        (!words.is_empty()).then_some(Self(words))
    }

    /// Whether a text has it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let Some((last, first)) = self.0.split_last() else { return false };
        let starts = |word: &str, with: &str| {
            let mut rest = word.chars().map(plain);
            with.chars().all(|c| rest.next() == Some(c))
        };
        let is = |word: &str, wanted: &str| word.chars().map(plain).eq(wanted.chars());
        let mut words = words_of(text);
        loop {
            let mut ahead = words.clone();
            if first.iter().all(|wanted| ahead.next().is_some_and(|word| is(word, wanted)))
                && ahead.next().is_some_and(|word| starts(word, last))
            {
                return true;
            }
            if words.next().is_none() {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_text_has_what_the_index_finds_in_it() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE VIRTUAL TABLE words USING fts5(b, detail=full)").unwrap();
        let texts = [
            "Win rate",
            "the winner takes it",
            "a café in Łódź",
            "naïve Zürich",
            "win-rate: 12%",
            "rate win",
            "e_mail",
            "straße",
            "Ωmega δοκιμή",
            "\"quoted\"",
            "x1 1x",
            "unwin",
            "",
            "ñandú",
            "日本語 テスト",
        ];
        for (number, text) in texts.iter().enumerate() {
            conn.execute(
                "INSERT INTO words(rowid, b) VALUES(?1, ?2)",
                rusqlite::params![i64::try_from(number).unwrap(), text],
            )
            .unwrap();
        }
        for typed in [
            "win", "winn", "win rate", "win-rate", "cafe", "CAFÉ", "zur", "naive", "mail", "e_mail", "strasse",
            "straß", "ωm", "1", "x1", "nandu", "日本", "ΔΟΚΙ",
        ] {
            let query = super::super::query_of(&[typed.to_owned()]).unwrap();
            let found: Vec<i64> = conn
                .prepare("SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid")
                .unwrap()
                .query_map([query], |row| row.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let phrase = Phrase::of(typed).unwrap();
            let ours: Vec<i64> = texts
                .iter()
                .enumerate()
                .filter(|(_, text)| phrase.is_in(text))
                .map(|(number, _)| i64::try_from(number).unwrap())
                .collect();
            assert_eq!(ours, found, "{typed}");
        }
        assert!(Phrase::of("-- \"").is_none());
    }
}
