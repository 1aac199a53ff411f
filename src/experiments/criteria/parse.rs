//! Reads criteria and formulas.
//!
//! Must never panic, nor go deeper than [`DEEPEST`], whatever is written; and says where it stopped and what it wanted there.

use std::time::Duration;

use super::{Aggregate, Comparison, Condition, Criterion, CriterionError, Formula, LONGEST, Name, Sample, Sign, Space};
use crate::config::duration;

/// How deep parentheses may be nested.
const DEEPEST: usize = 24;
/// Longest name.
const LONGEST_NAME: usize = 64;

/// Words that are no names.
const RESERVED: [&str; 5] = ["and", "or", "after", "within", "for"];

/// Lengths of time in words, in milliseconds.
const UNITS: [(&[&str], u64); 6] = [
    (&["s", "sec", "secs", "second", "seconds"], 1_000),
    (&["min", "mins", "minute", "minutes"], 60_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
    (&["w", "week", "weeks"], 7 * 86_400_000),
    (&["month", "months"], 30 * 86_400_000),
];

/// So many of a unit of time that is said in words; none where it is no such word, or too long.
pub(super) fn time_in_words(count: f64, word: &str) -> Option<Duration> {
    let word = word.to_ascii_lowercase();
    let (_, scale) = UNITS.iter().find(|(names, _)| names.contains(&word.as_str()))?;
    // The scale is far below what a float holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a month")]
    let millis = count * *scale as f64;
    if !(0.0..1e15).contains(&millis) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the range that was just looked at"
    )]
    Some(Duration::from_millis(millis.round() as u64))
}

pub(super) fn criterion(text: &str) -> Result<Criterion, CriterionError> {
    let mut reader = Reader::new(text)?;
    let (column, found) = (reader.column(), reader.or()?);
    let Node::Truth(condition) = found else {
        return Err(match reader.token() {
            Token::End => {
                wrong(column, "this is a number; a criterion compares it with another: `response_rate < 5%`".to_owned())
            }
            _ => reader.wanted("a comparison (`>`, `>=`, `<`, `<=`, `==`, `!=`)"),
        });
    };
    let mut criterion = Criterion { condition, sample: None, settled: None, within: None, lasting: None };
    while let Token::Word(word) = reader.token() {
        let (column, word) = (reader.column(), word.to_ascii_lowercase());
        let is_new = match word.as_str() {
            "after" => {
                reader.next();
                match reader.after()? {
                    After::Events(sample) => criterion.sample.replace(sample).is_none(),
                    After::Time(length) => criterion.settled.replace(length).is_none(),
                }
            }
            "within" => {
                reader.next();
                criterion.within.replace(reader.time()?).is_none()
            }
            "for" => {
                reader.next();
                criterion.lasting.replace(reader.time()?).is_none()
            }
            _ => break,
        };
        if !is_new {
            return Err(wrong(column, format!("`{word}` is said twice")));
        }
    }
    match reader.token() {
        Token::End => Ok(criterion),
        Token::Word(word) if is_reserved(word) => Err(wrong(
            reader.column(),
            format!(
                "`{word}` after a suffix; suffixes hold for the whole criterion and stand at its end: write two criteria"
            ),
        )),
        _ => Err(reader.wanted("the end, `and`, `or`, `after`, `within` or `for`")),
    }
}

pub(super) fn formula(text: &str) -> Result<Formula, CriterionError> {
    let mut reader = Reader::new(text)?;
    let column = reader.column();
    let found = reader.or()?;
    match (found, reader.token()) {
        (Node::Value(formula), Token::End) => Ok(formula),
        (Node::Truth(_), _) => Err(wrong(column, "a formula is a number, and this compares numbers".to_owned())),
        (Node::Value(_), _) => Err(reader.wanted("the end or an operator (`+`, `-`, `*`, `/`)")),
    }
}

fn wrong(column: usize, message: String) -> CriterionError {
    CriterionError { message, column, suggestion: None }
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// What was read so far: which of both it is shows only behind the parenthesis that closes it.
enum Node {
    Value(Formula),
    Truth(Condition),
}

enum After {
    Events(Sample),
    Time(Duration),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number {
        written: f64,
        is_percent: bool,
    },
    /// Digits with letters behind them: `7d`.
    Span(String),
    Word(String),
    Compare(Comparison),
    Sign(Sign),
    Open,
    Close,
    End,
}

impl Token {
    /// As it stands in a message.
    fn shown(&self) -> String {
        match self {
            Self::Number { written, is_percent } => format!("`{written}{}`", if *is_percent { "%" } else { "" }),
            Self::Span(text) | Self::Word(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
            Self::Compare(how) => format!("`{}`", how.as_str()),
            Self::Sign(sign) => format!("`{}`", sign.as_str()),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

struct Reader {
    /// With the column of each; the last is the end.
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn new(text: &str) -> Result<Self, CriterionError> {
        if text.len() > LONGEST {
            return Err(wrong(1, format!("it is {} bytes long; {LONGEST} are the most", text.len())));
        }
        if text.trim().is_empty() {
            return Err(wrong(1, "it is empty".to_owned()));
        }
        Ok(Self { tokens: tokens(text)?, at: 0, depth: 0 })
    }

    fn token(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(column, _)| *column)
    }

    fn next(&mut self) -> Token {
        let token = self.token().clone();
        self.at = (self.at + 1).min(self.tokens.len());
        token
    }

    fn wanted(&self, what: &str) -> CriterionError {
        wrong(self.column(), format!("found {} where {what} was expected", self.token().shown()))
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(self.token(), Token::Word(word) if word.eq_ignore_ascii_case(wanted))
    }

    fn or(&mut self) -> Result<Node, CriterionError> {
        self.chain("or", Self::and, Condition::Or)
    }

    fn and(&mut self) -> Result<Node, CriterionError> {
        self.chain("and", Self::compare, Condition::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Node, CriterionError>,
        of: fn(Box<Condition>, Box<Condition>) -> Condition,
    ) -> Result<Node, CriterionError> {
        let column = self.column();
        let mut left = part(self)?;
        while self.is_word(word) {
            let first = truth(left, column)?;
            self.next();
            let column = self.column();
            let second = truth(part(self)?, column)?;
            left = Node::Truth(of(Box::new(first), Box::new(second)));
        }
        Ok(left)
    }

    fn compare(&mut self) -> Result<Node, CriterionError> {
        let column = self.column();
        let left = self.sum()?;
        let Token::Compare(how) = *self.token() else { return Ok(left) };
        self.next();
        let left = value(left, column)?;
        let column = self.column();
        let right = value(self.sum()?, column)?;
        if let Token::Compare(_) = self.token() {
            return Err(wrong(self.column(), "two comparisons in a row; put `and` between them".to_owned()));
        }
        Ok(Node::Truth(Condition::Compare(left, how, right)))
    }

    fn sum(&mut self) -> Result<Node, CriterionError> {
        self.signs([Sign::Plus, Sign::Minus], Self::product)
    }

    fn product(&mut self) -> Result<Node, CriterionError> {
        self.signs([Sign::Times, Sign::Over], Self::atom)
    }

    fn signs(
        &mut self,
        signs: [Sign; 2],
        part: fn(&mut Self) -> Result<Node, CriterionError>,
    ) -> Result<Node, CriterionError> {
        let column = self.column();
        let mut left = part(self)?;
        while let Token::Sign(sign) = *self.token()
            && signs.contains(&sign)
        {
            let first = value(left, column)?;
            self.next();
            let column = self.column();
            let second = value(part(self)?, column)?;
            left = Node::Value(Formula::Of(Box::new(first), sign, Box::new(second)));
        }
        Ok(left)
    }

    fn atom(&mut self) -> Result<Node, CriterionError> {
        let column = self.column();
        match self.token().clone() {
            Token::Number { written, is_percent } => {
                self.next();
                Ok(Node::Value(Formula::Number { written, is_percent }))
            }
            // Only before a number: `-5`.
            Token::Sign(Sign::Minus)
                if let Some((_, Token::Number { written, is_percent })) = self.tokens.get(self.at + 1) =>
            {
                let number = Formula::Number { written: -written, is_percent: *is_percent };
                self.at += 2;
                Ok(Node::Value(number))
            }
            Token::Word(word) if !is_reserved(&word) => {
                self.next();
                Ok(Node::Value(Formula::Name(name(&word, column)?)))
            }
            Token::Open => {
                if self.depth >= DEEPEST {
                    return Err(wrong(column, format!("parentheses are nested deeper than {DEEPEST}")));
                }
                self.next();
                self.depth += 1;
                let inner = self.or()?;
                self.depth -= 1;
                if *self.token() != Token::Close {
                    return Err(self.wanted("`)`"));
                }
                self.next();
                Ok(inner)
            }
            Token::Span(_) => {
                Err(self.wanted("a number or a name (lengths of time stand behind `after`, `within` and `for`)"))
            }
            _ => Err(self.wanted("a number or a name")),
        }
    }

    /// What stands behind `after`.
    fn after(&mut self) -> Result<After, CriterionError> {
        let Token::Number { written, is_percent: false } = *self.token() else {
            return self.time().map(After::Time).map_err(|err| CriterionError {
                message: format!(
                    "{}; `after` wants a number of events or a length of time: `after 100 sends`, `after 7d`",
                    err.message
                ),
                ..err
            });
        };
        let column = self.column();
        self.next();
        let Token::Word(word) = self.token().clone() else { return Err(self.wanted("the event that is counted")) };
        if let Some(length) = time_in_words(written, &word) {
            self.next();
            return Ok(After::Time(length));
        }
        if written.fract() != 0.0 || !(0.0..9e15).contains(&written) {
            return Err(wrong(column, format!("`{written}` is no number of events")));
        }
        if is_reserved(&word) || word.contains('.') {
            return Err(self.wanted("the event that is counted"));
        }
        let name = name(&word, self.column())?;
        self.next();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number within the range")]
        Ok(After::Events(Sample { count: written as u64, event: name.name }))
    }

    /// A length of time: `7d`, or `7 days`.
    fn time(&mut self) -> Result<Duration, CriterionError> {
        let column = self.column();
        match self.token().clone() {
            Token::Span(mut text) => {
                self.next();
                // `1d 12h`
                while let Token::Span(more) = self.token() {
                    text.push_str(more);
                    self.next();
                }
                let length = duration::parse(&text).map_err(|message| wrong(column, message))?;
                // Further than that nothing is planned, and sums with it stay in range.
                if length > Duration::from_hours(24 * 365 * 100) {
                    return Err(wrong(column, format!("`{text}` is longer than a hundred years")));
                }
                Ok(length)
            }
            Token::Number { written, is_percent: false } => {
                self.next();
                let length = match self.token() {
                    Token::Word(word) => time_in_words(written, word),
                    _ => None,
                };
                let length = length.ok_or_else(|| self.wanted("a unit of time (`7d`, `7 days`)"))?;
                self.next();
                Ok(length)
            }
            _ => Err(self.wanted("a length of time (`7d`, `1h30m`)")),
        }
    }
}

fn value(node: Node, column: usize) -> Result<Formula, CriterionError> {
    match node {
        Node::Value(formula) => Ok(formula),
        Node::Truth(_) => Err(wrong(column, "this compares numbers, where a number was expected".to_owned())),
    }
}

fn truth(node: Node, column: usize) -> Result<Condition, CriterionError> {
    match node {
        Node::Truth(condition) => Ok(condition),
        Node::Value(_) => Err(wrong(
            column,
            "this is a number; on both sides of `and` and `or` stands a comparison: `a > 1 and b < 5%`".to_owned(),
        )),
    }
}

fn name(word: &str, column: usize) -> Result<Name, CriterionError> {
    let parts: Vec<&str> = word.split('.').collect();
    let (space, parts) = match parts.as_slice() {
        [first, rest @ ..] if !rest.is_empty() => match Space::ALL.into_iter().find(|space| space.as_str() == *first) {
            Some(space) => (Some(space), rest),
            None => (None, parts.as_slice()),
        },
        all => (None, all),
    };
    let (name, aggregate) = match parts {
        [name] => (*name, None),
        [name, last] => {
            let aggregate = Aggregate::ALL.into_iter().find(|aggregate| aggregate.as_str() == *last);
            let unknown = || {
                let all = Aggregate::ALL.map(Aggregate::as_str).join(", ");
                wrong(column, format!("`.{}` is none of {all}", last.chars().take(40).collect::<String>()))
            };
            (*name, Some(aggregate.ok_or_else(unknown)?))
        }
        _ => return Err(wrong(column, format!("`{word}` has too many dots; write `name` or `name.p95`"))),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.len() <= LONGEST_NAME;
    if !is_name {
        return Err(wrong(column, format!("`{word}` is no name")));
    }
    Ok(Name { space, name: name.to_owned(), aggregate })
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, CriterionError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let column = at + 1;
        let run = |from: usize, fits: fn(char) -> bool| chars[from..].iter().take_while(|c| fits(**c)).count();
        let (token, taken) = if c.is_ascii_digit() || c == '.' {
            number(&chars[at..], column)?
        } else if c.is_ascii_alphabetic() || c == '_' {
            let taken = run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
            (Token::Word(chars[at..at + taken].iter().collect()), taken)
        } else {
            sign(c, chars.get(at + 1).copied(), column)?
        };
        tokens.push((column, token));
        at += taken;
    }
    tokens.push((chars.len() + 1, Token::End));
    Ok(tokens)
}

fn number(rest: &[char], column: usize) -> Result<(Token, usize), CriterionError> {
    let digits: String = rest.iter().take_while(|c| c.is_ascii_digit() || **c == '.').collect();
    let letters: String = rest[digits.len()..].iter().take_while(|c| c.is_ascii_alphanumeric()).collect();
    if !letters.is_empty() {
        let text = format!("{digits}{letters}");
        let taken = text.len();
        return Ok((Token::Span(text), taken));
    }
    let refused = || wrong(column, format!("`{}` is no number", digits.chars().take(40).collect::<String>()));
    let written: f64 = digits.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(refused)?;
    let is_percent = rest.get(digits.len()) == Some(&'%');
    Ok((Token::Number { written, is_percent }, digits.len() + usize::from(is_percent)))
}

/// The longest operator first.
fn sign(first: char, second: Option<char>, column: usize) -> Result<(Token, usize), CriterionError> {
    let long = match (first, second) {
        ('>', Some('=')) => Some(Comparison::AtLeast),
        ('<', Some('=')) => Some(Comparison::AtMost),
        ('=', Some('=')) => Some(Comparison::Equal),
        ('!', Some('=')) => Some(Comparison::Unequal),
        _ => None,
    };
    if let Some(how) = long {
        return Ok((Token::Compare(how), 2));
    }
    let token = match first {
        '>' => Token::Compare(Comparison::Above),
        '<' => Token::Compare(Comparison::Below),
        '≥' => Token::Compare(Comparison::AtLeast),
        '≤' => Token::Compare(Comparison::AtMost),
        '≠' => Token::Compare(Comparison::Unequal),
        '+' => Token::Sign(Sign::Plus),
        '-' => Token::Sign(Sign::Minus),
        '*' => Token::Sign(Sign::Times),
        '/' => Token::Sign(Sign::Over),
        '(' => Token::Open,
        ')' => Token::Close,
        '=' => return Err(wrong(column, "a single `=`; write `==`".to_owned())),
        '%' => return Err(wrong(column, "`%` stands behind a number, without a space: `5%`".to_owned())),
        other => return Err(wrong(column, format!("`{}` has no meaning here", other.escape_debug()))),
    };
    Ok((token, 1))
}
