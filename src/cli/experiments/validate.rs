//! `fullsend experiments validate`: everything that is wrong with specifications, at once; and what of it can be put right.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use color_eyre::eyre::{WrapErr, eyre};
use serde_json::json;

use crate::cli::output::{FAILED, OK};
use crate::cli::{Context, given, open};
use crate::experiments::check::Known;
use crate::experiments::fix::fix;
use crate::experiments::read::{Reading, Severity, read_with};
use crate::experiments::{document, list};
use crate::tools::registry::Place;

/// Says everything that is wrong with specifications
///
/// Each finding names the field, its place in the file, and what to write instead. Ends with 1 where one of them could not be published.
/// With --fix, what can be put right is, and printed; with --write it is written back into the file, and the file as it was, with its
/// comments, is kept beside it as FILE.orig.
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
        let known = known(&text, Path::new(file), cx);
        let reading = if args.fix { fix(&text, &known, cx.clock.now().date_naive()) } else { read_with(&text, &known) };
        all_good &= reading.spec.is_some();
        let fixed = match reading.draft.as_ref().filter(|_| args.fix) {
            Some(spec) => Some(document::yaml(spec).map_err(|why| eyre!("{file}: it cannot be written: {why}"))?),
            None => None,
        };
        let changed = fixed.as_ref().filter(|yaml| args.write && file != "-" && yaml.trim_end() != text);
        if let Some(yaml) = changed {
            let kept = keep(Path::new(file), &text)?;
            replace(Path::new(file), yaml)?;
            cx.out.remark(&format!("{file}: as it was, with its comments, it is kept as {}", kept.display()));
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

/// What can be known without a bus: the tools of the home, and the columns of lists that are there.
pub(super) fn known(text: &str, file: &Path, cx: &Context) -> Known {
    let mut known = own(cx);
    let spec = read_with(text, &known).draft;
    for step in spec.iter().flat_map(|spec| &spec.execution.steps).filter(|step| step.tool == "csv_leads") {
        let Some(path) = step.params.get("path").and_then(|path| path.as_str()).map(PathBuf::from) else { continue };
        // As it is handed in: from here, or else from beside the file.
        let beside = file.parent().map(|folder| folder.join(&path)).filter(|_| !path.exists());
        match list::look(&beside.unwrap_or(path), 0) {
            Ok(look) => known.saw(step, Ok(&look)),
            Err(why) => known.saw(step, Err(why)),
        }
    }
    known
}

/// The tools of the home, with what they take.
pub(super) fn own(cx: &Context) -> Known {
    let own = open::registry(cx).list().into_iter().filter_map(|listed| {
        let tool = listed.tool.ok().filter(|tool| tool.place != Place::Shipped)?;
        Some((listed.name, Some(tool.manifest.inputs)))
    });
    Known { tools: own.collect(), ..Known::default() }
}

/// Keeps what a file was beside it, under a name that nothing has.
fn keep(path: &Path, text: &str) -> color_eyre::Result<PathBuf> {
    for number in 1..1_000 {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(if number == 1 { ".orig".to_owned() } else { format!(".orig{number}") });
        let beside = path.with_file_name(name);
        match fs::File::create_new(&beside).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => return Ok(beside),
            Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err).wrap_err_with(|| format!("{} cannot be written", beside.display())),
        }
    }
    Err(eyre!("{} was put right a thousand times; remove those that end with .orig", path.display()))
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
