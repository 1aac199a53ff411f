use std::sync::Arc;

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, eyre};

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Gone(ErrorKind);

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn kept() -> (Output, Kept, Kept) {
    kept_as(false)
}

fn kept_as(json: bool) -> (Output, Kept, Kept) {
    let (results, remarks) = (Kept::default(), Kept::default());
    let out = Output::to(json, Box::new(results.clone()), Box::new(remarks.clone()));
    (out, results, remarks)
}

#[test]
fn text_is_harmless() {
    let (out, results, _) = kept();
    out.text("one\u{1b}[2J\ntwo\u{7}\n").unwrap();
    out.table(["A", "B"], &[["東京".to_owned(), "x\ny\u{9b}".to_owned()], ["b".to_owned(), String::new()]]).unwrap();
    let text = results.text();
    assert_eq!(text, "one\\u{1b}[2J\ntwo\\u{7}\nA     B\n東京  x y\\u{9b}\nb\n");
}

#[test]
fn json_stays_the_same_and_is_harmless() {
    let (out, results, _) = kept();
    let value = serde_json::json!({ "a": "\u{9b}31m\u{1b}\n\u{202e}" });
    out.json(&value).unwrap();
    let text = results.text();
    assert_eq!(text.lines().count(), 1);
    assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
}

#[test]
fn a_reader_that_is_gone_is_no_error() {
    let remarks = Kept::default();
    let out = Output::to(false, Box::new(Gone(ErrorKind::BrokenPipe)), Box::new(remarks.clone()));
    let ended = out.text("x").wrap_err("while printing").map(|()| FAILED);
    assert_eq!(out.finish(ended), OK);
    assert_eq!(remarks.text(), "");

    let out = Output::to(false, Box::new(Gone(ErrorKind::StorageFull)), Box::new(remarks.clone()));
    let ended = out.text("x").map(|()| OK);
    assert_eq!(out.finish(ended), FAILED);
    assert!(remarks.text().starts_with("error: "));

    // A pipe that breaks elsewhere is an error like others.
    let ended = Err(io::Error::from(ErrorKind::BrokenPipe).into());
    assert_eq!(out.finish(ended), FAILED);
}

#[test]
fn an_error_says_cause_and_next_step_without_secrets() {
    let (out, results, remarks) = kept();
    let report = eyre!("no answer from redis://u:canary@host\u{1b}[2J")
        .wrap_err("the bus cannot be reached")
        .suggestion("start it");
    assert_eq!(out.finish(Err(report)), FAILED);
    assert_eq!(results.text(), "");
    assert_eq!(
        remarks.text().lines().take(2).collect::<Vec<_>>(),
        ["error: the bus cannot be reached", "  because: no answer from redis://u:***@host\\u{1b}[2J"]
    );
    assert_eq!(out.finish(Err(Usage("no such channel".to_owned()).into())), ExitCode::from(2));
}

#[test]
fn a_program_gets_errors_and_findings_as_json() {
    let (out, _, remarks) = kept_as(true);
    let report = eyre!("no answer from redis://u:canary@host\u{1b}[2J").wrap_err("the bus cannot be reached");
    assert_eq!(out.finish(Err(report)), FAILED);
    assert_eq!(out.finish(Err(Usage("no such \"channel\"".to_owned()).into())), ExitCode::from(2));
    out.error("one of many");
    out.finding(&Finding { level: Level::Warning, what: "evicts".to_owned(), fix: "do not".to_owned() });
    let said = clap::Command::new("fullsend").arg(clap::arg!(--mode <M>)).try_get_matches_from(["fullsend", "--mod=x"]);
    assert_eq!(out.clap(&said.unwrap_err()), ExitCode::from(2));
    let problem = crate::config::Problem {
        place: "env FULLSEND_MOD".to_owned(),
        what: "no setting has this name".to_owned(),
        nearest: Some("FULLSEND_MODE".to_owned()),
    };
    assert_eq!(out.finish(Err(ConfigError { problems: vec![problem] }.into())), ExitCode::from(2));
    let text = remarks.text();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = serde_json::json!([
        {
            "error": "the bus cannot be reached",
            "causes": ["no answer from redis://u:***@host\u{1b}[2J"],
        },
        { "error": "no such \"channel\"" },
        { "error": "one of many" },
        { "level": "warning", "what": "evicts", "fix": "do not" },
    ]);
    assert_eq!(lines[..4], expected.as_array().unwrap()[..]);
    assert_eq!(lines[4]["error"], "unexpected argument '--mod' found");
    assert!(lines[4]["hints"].as_array().unwrap().iter().any(|hint| hint.as_str().unwrap().contains("--mode")));
    assert_eq!(lines[5]["error"], ConfigError::WHAT);
    assert_eq!(
        lines[5]["causes"],
        serde_json::json!(["env FULLSEND_MOD: no setting has this name; did you mean `FULLSEND_MODE`?"])
    );
    assert_eq!(lines[5]["hints"], serde_json::json!([ConfigError::HINT]));
}

#[test]
fn a_table_that_is_too_wide_for_the_terminal_is_the_narrow_one() {
    let rows = [["東京".to_owned(), "0123456789".to_owned()]];
    let shown = |width: Option<usize>| {
        let (out, results, _) = kept();
        let out = if let Some(width) = width { out.within(width) } else { out };
        out.table_that_fits((["A", "B"], &rows), || (["A"], vec![["東京".to_owned()]])).unwrap();
        results.text()
    };
    let wide = "A     B\n東京  0123456789\n";
    assert_eq!([None, Some(16), Some(15)].map(shown), [wide, wide, "A\n東京\n"]);
}
