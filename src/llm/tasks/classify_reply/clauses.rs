//! What somebody wrote, in clauses: a word is turned round by a `not` of its own clause, and by no other.

use crate::llm::tasks::words::{Words, is_listed};

/// Where one clause ends and the next begins without a sign.
const JOINTS: &str = "but, so, and, however, though, although, because, aber, und, mais, et, pero, ma";
/// Words that turn round what comes after them.
const NOT: &str = "\
    not, no, never, dont, doesnt, didnt, isnt, arent, aint, wasnt, werent, wont, wouldnt, cant, cannot, couldnt, shouldnt, nor, neither, hardly, \
    less, without, nobody, doubt, kein, keine, keinen, nicht, pas, ne, non, nao, nie, niet, jamais, nunca";
/// Words with a `not` that turn nothing round.
const IDIOMS: &str = "\
    cant wait, cannot wait, no problem, no problems, no worries, no objection, no objections, no doubt, no harm, not a bad, not bad, why not, \
    why dont we, why dont you, dont hesitate, do not hesitate, dont forget, do not forget, wouldnt mind, dont mind, do not mind, not only, \
    no time like, cant hurt, no brainer, if not";
/// A line that a program puts below.
const FOOTERS: &str = "sent from my, sent from outlook, sent via, get outlook for, von meinem iphone gesendet, gesendet von, envoye de mon, enviado desde";

/// The words of one clause.
#[derive(Debug, Default)]
pub(super) struct Clause(pub(super) Words);

/// What a company's lawyers put below: it asks everybody to delete it.
const NOTICES: &str = "\
    intended recipient, intended only for, intended solely for, solely for the, this email in error, this e mail in error, this message in error, \
    this mail in error, confidentiality notice, is confidential and, nicht der richtige adressat, irrtumlich erhalten, destinataire prevu";

/// A text without what programs, signatures and lawyers put below.
pub(super) fn said(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let paragraphs = text.split("\n\n").filter(|paragraph| !Words::of(paragraph).has(NOTICES));
    let text = paragraphs.collect::<Vec<_>>().join("\n\n");
    let lines = text.lines().take_while(|line| line.trim_end() != "--" && line.trim() != "—");
    lines.filter(|line| !Words::of(line).begins(FOOTERS)).collect::<Vec<_>>().join("\n")
}

/// The clauses of a text, those without words left out.
pub(super) fn clauses(text: &str) -> Vec<Clause> {
    let ends = |c: char| {
        matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '？' | '¿' | '¡' | '\n' | '(' | ')' | '–' | '—' | '…')
    };
    let mut found = Vec::new();
    for part in text.replace(" - ", ", ").split(ends) {
        let words = Words::of(part);
        for run in words.list().split(|word| is_listed(word, JOINTS)).filter(|run| !run.is_empty()) {
            found.push(Clause(Words::of(&run.join(" "))));
        }
    }
    found
}

impl Clause {
    fn words(&self) -> &[String] {
        self.0.list()
    }

    /// The first of these that it has and that nothing turns round; and, where there is none, one that is turned round.
    pub(super) fn plain<'a>(&self, wanted: &'a str) -> Result<&'a str, Option<&'a str>> {
        let mut turned = None;
        for phrase in wanted.split(',').map(str::trim).filter(|phrase| self.0.has(phrase)) {
            if self.is_turned(phrase) {
                turned = turned.or(Some(phrase));
            } else {
                return Ok(phrase);
            }
        }
        Err(turned)
    }

    /// Whether a `not` stands before a phrase, or right behind it: `absolutely not`.
    fn is_turned(&self, phrase: &str) -> bool {
        let Some((at, length)) = self.place(phrase) else { return false };
        let not =
            |index: usize| self.words().get(index).is_some_and(|word| is_listed(word, NOT)) && !self.is_idiom(index);
        (0..at).any(not) || not(at + length) || phrase.starts_with("interess") && (at..self.words().len()).any(not)
    }

    /// Where a phrase stands, and how many words it has.
    fn place(&self, phrase: &str) -> Option<(usize, usize)> {
        let wanted: Vec<&str> = phrase.split(' ').collect();
        let exact = self.words().windows(wanted.len()).position(|words| words == wanted.as_slice());
        let like = || self.words().iter().position(|word| Words::of(word).has(phrase));
        exact.or_else(like).map(|at| (at, wanted.len()))
    }

    /// Whether the word at this place belongs to a way of speaking.
    fn is_idiom(&self, index: usize) -> bool {
        IDIOMS.split(',').map(str::trim).any(|idiom| {
            let wanted: Vec<&str> = idiom.split(' ').collect();
            let mut places =
                self.words().windows(wanted.len()).enumerate().filter(|(_, words)| *words == wanted.as_slice());
            places.any(|(at, _)| (at..at + wanted.len()).contains(&index))
        })
    }

    /// Whether nothing is left of it but these words, once what only makes it polite is gone.
    pub(super) fn is_only(&self, wanted: &str, fillers: &str) -> bool {
        let rest: Vec<&String> = self.words().iter().filter(|word| !is_listed(word, fillers)).collect();
        !rest.is_empty() && rest.iter().all(|word| Words::of(word).has(wanted))
    }

    /// Whether one of these words is followed by one of those, with at most so many in between; `not_before` and `not_between` say which
    /// words must not stand right before, and in between.
    pub(super) fn follows(&self, first: &str, then: &str, gap: usize, not_before: &str, not_between: &str) -> bool {
        let words = self.words();
        words.iter().enumerate().filter(|(_, word)| is_listed(word, first)).any(|(at, _)| {
            let before = at.checked_sub(1).and_then(|before| words.get(before));
            if before.is_some_and(|word| is_listed(word, not_before)) {
                return false;
            }
            let behind = words.get(at + 1..words.len().min(at + 2 + gap)).unwrap_or_default();
            let end = behind.iter().position(|word| is_listed(word, then));
            end.is_some_and(|end| !behind[..end].iter().any(|word| is_listed(word, not_between)))
        })
    }
}
