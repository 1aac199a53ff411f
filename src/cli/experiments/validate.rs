//! `fullsend experiments validate`: everything that is wrong with specifications, at once; and what of it can be put right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use color_eyre::eyre::{WrapErr, eyre};
use serde_json::json;

use crate::cli::output::{FAILED, OK};
use crate::cli::{Context, given};
use crate::experiments::check::Known;
use crate::experiments::fix::fix;
use crate::experiments::read::{Reading, Severity, read, read_with};
use crate::experiments::{document, list};

/// Says everything that is wrong with specifications
///
/// Each finding names the field, its place in the file, and what to write instead. Ends with 1 where one of them could not be published.
/// With --fix, what can be put right is, and printed; with --write it is written back into the file.
///
/// Example: fullsend experiments validate *.yaml --fix --write
#[derive(clap::Args)]
pub(super) struct Args {
    /// The files; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Put right what can be, and print the whole specification
    #[arg(long)]
    fix: bool,

    /// Write it back into the file in place of printing it
    #[arg(long, requires = "fix")]
    write: bool,
}

pub(super) fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let mut all_good = true;
    let mut told = Vec::new();
    for file in &args.files {
        let text = if file == "-" { given::text(Some("-"))? } else { text(Path::new(file))? };
        let known = known(&text, Path::new(file));
        let reading = if args.fix { fix(&text, &known, cx.clock.now().date_naive()) } else { read_with(&text, &known) };
        all_good &= reading.spec.is_some();
        let fixed = match reading.draft.as_ref().filter(|_| args.fix) {
            Some(spec) => Some(document::yaml(spec).map_err(|why| eyre!("{file}: it cannot be written: {why}"))?),
            None => None,
        };
        if let Some(yaml) = fixed.as_ref().filter(|_| args.write && file != "-") {
            replace(Path::new(file), yaml)?;
        }
        told.push((file, reading, fixed));
    }
    if cx.out.is_json() {
        let files: Vec<_> = told
            .iter()
            .map(|(file, reading, fixed)| {
                json!({
                    "file": file, "valid": reading.spec.is_some(), "findings": reading.findings, "spec": reading.draft,
                    "written": args.write && fixed.is_some() && *file != "-",
                })
            })
            .collect();
        cx.out.json(&files)?;
    } else {
        for (file, reading, fixed) in &told {
            tell(file, reading, fixed.as_deref().filter(|_| !args.write || *file == "-"), cx)?;
        }
    }
    Ok(if all_good { OK } else { FAILED })
}

/// The findings where a person reads, and the specification where a program would.
fn tell(file: &str, reading: &Reading, fixed: Option<&str>, cx: &Context) -> color_eyre::Result<()> {
    let prints = fixed.is_some();
    for finding in &reading.findings {
        let line = if finding.line > 0 { format!("{file}:{finding}") } else { format!("{file}: {finding}") };
        if prints { cx.out.remark(&line) } else { cx.out.text(&line)? }
    }
    let count = |severity| reading.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, done) = (count(Severity::Error), count(Severity::Warning), count(Severity::Fixed));
    let verdict =
        if errors == 0 { "can be published".to_owned() } else { format!("cannot be published: {errors} errors") };
    let more = [(warnings, "warnings"), (done, "fixed")].into_iter().filter(|(count, _)| *count > 0);
    let more: Vec<_> = more.map(|(count, what)| format!(", {count} {what}")).collect();
    let verdict = format!("{file}: {verdict}{}", more.concat());
    if prints {
        cx.out.remark(&verdict);
    } else {
        cx.out.text(&verdict)?;
    }
    fixed.map_or(Ok(()), |yaml| cx.out.text(yaml))
}

fn text(path: &Path) -> color_eyre::Result<String> {
    let file = fs::File::open(path).wrap_err_with(|| format!("{} cannot be opened", path.display()))?;
    given::read_all(file, &path.display().to_string())
}

/// What can be known without a bus: the tools that are shipped, and the columns of lists that are there.
fn known(text: &str, file: &Path) -> Known {
    let mut known = Known::default();
    let spec = read(text).draft;
    for step in spec.iter().flat_map(|spec| &spec.execution.steps).filter(|step| step.tool == "csv_leads") {
        let Some(path) = step.params.get("path").and_then(|path| path.as_str()).map(PathBuf::from) else { continue };
        let beside = file.parent().map(|folder| folder.join(&path));
        let found = [Some(path), beside].into_iter().flatten().find_map(|path| list::look(&path, 0).ok());
        if let Some(look) = found {
            known.columns.insert(step.id.clone(), look.columns);
        }
    }
    known
}

/// Writes a file anew: it is the old one or the new one, never a part.
fn replace(path: &Path, text: &str) -> color_eyre::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .wrap_err_with(|| format!("{} cannot be written", path.display()))
}
