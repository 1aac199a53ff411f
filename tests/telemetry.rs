//! The log and the hooks of a whole process: each is global, so this file is one test in a process of its own.

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use color_eyre::Section;
use color_eyre::eyre::eyre;
use fullsend::config::Config;
use fullsend::telemetry;
use secrecy::SecretString;

static TOLD: Mutex<String> = Mutex::new(String::new());

#[test]
fn panics_and_errors_are_told_and_logged_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::at(&folder.path().join("home"));
    config.log.keep = 2;
    config.make_home().unwrap();
    fullsend::config::private_folder(&config.logs()).unwrap();
    for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
        std::fs::write(config.logs().join(format!("fullsend.{day}.log")), "").unwrap();
    }
    telemetry::register(&SecretString::from("canary-registered"));
    telemetry::install_hooks(|report| TOLD.lock().unwrap().push_str(report)).unwrap();
    assert!(telemetry::install_hooks(|_| ()).is_err());
    let guard = telemetry::install(&config).unwrap();

    let span = tracing::info_span!("handle", trace = "0190", key = "canary-registered");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        span.in_scope(|| panic!("lost redis://u:canary-panic@host, canary-registered and \u{1b}[2J"));
    }));
    // From here on a panic is this test's own.
    drop(std::panic::take_hook());
    assert!(caught.is_err());
    let report = eyre!("no answer from redis://u:canary-error@host")
        .wrap_err("the bus is canary-registered")
        .suggestion("start it");
    let shown = telemetry::readable(&format!("{report:?}"));

    assert_eq!(guard.dropped(), 0);
    drop(guard);
    let mut files: Vec<_> = config.logs().read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&config.home), 0o700);
    assert_eq!(mode(&config.logs()), 0o700);
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(mode(&files[1]), 0o600);

    let log = std::fs::read_to_string(&files[1]).unwrap();
    let told = TOLD.lock().unwrap().clone();
    for text in [&log, &told, &shown] {
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert!(told.contains("lost redis://u:***@host, *** and \\u{1b}[2J"), "{told}");
    assert!(told.contains("defect"), "{told}");
    assert!(log.contains(r#""panic":"#) && log.contains(r#""trace":"0190""#), "{log}");
    assert!(shown.contains("the bus is ***") && shown.contains("Suggestion: start it"), "{shown}");
    assert_eq!(log.lines().count(), 1, "{log}");
}
