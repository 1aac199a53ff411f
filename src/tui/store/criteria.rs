//! Criteria and formulas as specifications write them, as far as a person is shown where they stand: `response_rate < 5% after 200 sends`,
//! `replies / emails_sent`.
//!
//! Whether a criterion is met is the service `redis_agent`'s to say. Must never guess: what is not in this language is a text.

use std::iter::Peekable;
use std::str::Chars;

/// How deep parentheses may be nested.
const DEEPEST: usize = 16;
/// Longest formula that is read.
const LONGEST: usize = 400;

/// A formula: numbers and names with `+ - * /` and parentheses.
#[derive(Debug, Clone, PartialEq)]
pub enum Formula {
    /// A number; `8%` is 0.08.
    Number(f64),
    /// What stands under this name.
    Name(String),
    /// Two of them together.
    Of(Box<Self>, char, Box<Self>),
}

impl Formula {
    /// Reads a formula; none where it is none.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut reader = Reader { rest: text.chars().peekable(), depth: 0 };
        let formula = reader.sum()?;
        reader.skip();
        reader.rest.peek().is_none().then_some(formula)
    }

    /// Its value; none where a name has none, or where it would be no number.
    pub fn value(&self, of: &impl Fn(&str) -> Option<f64>) -> Option<f64> {
        let value = match self {
            Self::Number(number) => *number,
            Self::Name(name) => of(name)?,
            Self::Of(left, sign, right) => {
                let (left, right) = (left.value(of)?, right.value(of)?);
                match sign {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        };
        value.is_finite().then_some(value)
    }

    /// The names in it.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Name(name) => vec![name],
            Self::Of(left, _, right) => [left.names(), right.names()].concat(),
        }
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

impl Reader<'_> {
    fn skip(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn sign(&mut self, signs: [char; 2]) -> Option<char> {
        self.skip();
        self.rest.next_if(|c| signs.contains(c))
    }

    fn sum(&mut self) -> Option<Formula> {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(['+', '-']) {
            left = Formula::Of(Box::new(left), sign, Box::new(self.product()?));
        }
        Some(left)
    }

    fn product(&mut self) -> Option<Formula> {
        let mut left = self.atom()?;
        while let Some(sign) = self.sign(['*', '/']) {
            left = Formula::Of(Box::new(left), sign, Box::new(self.atom()?));
        }
        Some(left)
    }

    fn atom(&mut self) -> Option<Formula> {
        self.skip();
        if self.rest.next_if_eq(&'(').is_some() {
            self.depth += 1;
            let inner = if self.depth > DEEPEST { None } else { self.sum() }?;
            self.depth -= 1;
            self.skip();
            return self.rest.next_if_eq(&')').map(|_| inner);
        }
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) {
            word.push(c);
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let number: f64 = word.parse().ok().filter(|number: &f64| number.is_finite())?;
            let is_percent = self.rest.next_if_eq(&'%').is_some();
            return Some(Formula::Number(if is_percent { number / 100.0 } else { number }));
        }
        (!word.is_empty()).then_some(Formula::Name(word))
    }
}

/// A line, and on which side of it a number must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// What is measured.
    pub of: Formula,
    /// What is measured, as it was written.
    pub name: String,
    /// `<`, `<=`, `>`, `>=`, `==` or `!=`.
    pub sign: &'static str,
    /// The line.
    pub line: f64,
    /// How much of what must have happened first.
    pub after: Option<(f64, String)>,
}

impl Bound {
    /// Reads `metric op number`, with `after N event` where it is given; none for prose, and for what has more in it.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (sign, at) = ["<=", ">=", "==", "!=", "<", ">"]
            .into_iter()
            .filter_map(|sign| text.find(sign).map(|at| (sign, at)))
            .min_by_key(|(sign, at)| (*at, std::cmp::Reverse(sign.len())))?;
        let (name, rest) = (text.get(..at)?.trim(), text.get(at + sign.len()..)?.trim());
        let (line, after) = match rest.split_once(" after ") {
            None => (rest, None),
            Some((line, after)) => {
                let (count, of) = after.trim().split_once(char::is_whitespace)?;
                (line, Some((count.parse().ok().filter(|count: &f64| count.is_finite())?, of.trim().to_owned())))
            }
        };
        let Formula::Number(line) = Formula::read(line)? else { return None };
        let of = Formula::read(name)?;
        Some(Self { of, name: name.to_owned(), sign, line, after })
    }

    /// Whether a number is on its side.
    pub fn holds(&self, value: f64) -> bool {
        match self.sign {
            "<" => value < self.line,
            "<=" => value <= self.line,
            ">" => value > self.line,
            ">=" => value >= self.line,
            "==" => (value - self.line).abs() < f64::EPSILON,
            _ => (value - self.line).abs() >= f64::EPSILON,
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of(name: &str) -> Option<f64> {
        match name {
            "sent" => Some(200.0),
            "replies" => Some(9.0),
            "zero" => Some(0.0),
            _ => None,
        }
    }

    #[rstest]
    #[case("replies / sent", Some(0.045))]
    #[case("(replies + 1) / sent * 100", Some(5.0))]
    #[case("sent - replies - 1", Some(190.0))]
    #[case("8%", Some(0.08))]
    #[case("replies / zero", None)]
    #[case("replies / unknown", None)]
    fn a_formula_has_a_value_where_its_names_have_one(#[case] text: &str, #[case] value: Option<f64>) {
        assert_eq!(Formula::read(text).unwrap().value(&of), value, "{text}");
    }

    #[rstest]
    #[case("")]
    #[case("replies per send")]
    #[case("(replies")]
    #[case("replies /")]
    #[case("replies; DROP")]
    fn what_is_no_formula_is_none(#[case] text: &str) {
        assert_eq!(Formula::read(text), None);
        assert_eq!(Formula::read(&"(".repeat(300)), None);
    }

    #[rstest]
    #[case("response_rate < 5% after 200 email_sent", "response_rate", "<", 0.05, Some((200.0, "email_sent")))]
    #[case("meetings_booked>=2", "meetings_booked", ">=", 2.0, None)]
    #[case("replies / sent > 0.08", "replies / sent", ">", 0.08, None)]
    #[case("bounce_rate <= 10% after 100 sends", "bounce_rate", "<=", 0.1, Some((100.0, "sends")))]
    fn criteria_are_read(
        #[case] text: &str,
        #[case] name: &str,
        #[case] sign: &str,
        #[case] line: f64,
        #[case] after: Option<(f64, &str)>,
    ) {
        let bound = Bound::read(text).unwrap();
        let found = bound.after.as_ref().map(|(count, of)| (*count, of.as_str()));
        assert_eq!((bound.name.as_str(), bound.sign, bound.line, found), (name, sign, line, after));
    }

    #[rstest]
    #[case("Reply rate >= 8% (16+ replies from 200 emails)")]
    #[case("At least 3 demo calls booked")]
    #[case("response_rate < 5% within 7 days")]
    #[case("<")]
    fn prose_is_no_criterion(#[case] text: &str) {
        assert_eq!(Bound::read(text), None);
    }

    #[test]
    fn a_number_is_on_one_side_of_a_line() {
        let holds = |text: &str, value| Bound::read(text).unwrap().holds(value);
        assert!(holds("a < 5%", 0.049) && !holds("a < 5%", 0.05) && holds("a <= 5%", 0.05));
        assert!(holds("a > 2", 3.0) && !holds("a > 2", 2.0) && holds("a >= 2", 2.0));
        assert!(holds("a == 2", 2.0) && holds("a != 2", 3.0) && !holds("a < 1", f64::NAN));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_not(text in ".{0,80}") {
            let _ = (Formula::read(&text), Bound::read(&text));
        }
    }
}
