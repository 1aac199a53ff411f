//! What a tool tries to reach that is not its own.

use std::fs;
use std::os::unix::fs::symlink;

use fullsend::contracts::messages::ErrorCode;
use fullsend::tools::sandbox::Landlock;
use serde_json::{Value, json};

use crate::rig::Rig;

/// Tries each, and gives what came of it: `null` where it went through, else the error.
const TRY: &str = r#"
def tries(**them):
    out = {}
    for name, one in them.items():
        try: one(); out[name] = None
        except BaseException as err: out[name] = type(err).__name__ + ": " + str(err)
    say(result=out)
"#;

/// Runs these tries: names with lambdas.
async fn tried(rig: &mut Rig, manifest: &str, tries: &str, params: Value) -> Value {
    rig.python(manifest, &format!("import ctypes, fcntl, signal, socket, subprocess\n{TRY}\n{tries}"));
    rig.gives(params).await
}

fn assert_all_refused(tried: &Value) {
    let open: Vec<_> = tried.as_object().unwrap().iter().filter(|(_, why)| why.is_null()).collect();
    assert!(open.is_empty(), "these went through: {open:?} of {tried:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_layer_is_there() {
    let rig = Rig::new();
    let level = rig.runner.sandbox().level().await;
    assert!(level.is_whole(), "{}", level.line());
    assert_eq!(level.landlock, Landlock::Full, "{}", level.line());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_writes_its_work_folder_and_temporary_files_and_nothing_else() {
    let mut rig = Rig::new();
    let outside = rig.home.path().join("outside");
    let params = json!({ "outside": outside, "home": rig.home.path() });
    let tries = r#"
w = lambda path: open(path, "w").write("x")
w("mine"); w("/tmp/mine")
tries(
    outside=lambda: w(params["outside"]), up=lambda: w("../up"), root=lambda: w("/new"), usr=lambda: w("/usr/new"), etc=lambda: w("/etc/new"),
    itself=lambda: w(sys.argv[0]), beside=lambda: w("/sandbox/tool/new"), program=lambda: w("/sandbox/program"), dev=lambda: w("/dev/new"),
    sandbox=lambda: w("/sandbox/new"), proc=lambda: w("/proc/sys/kernel/core_pattern"), oom=lambda: w("/proc/1/oom_score_adj"),
    mount=lambda: subprocess.check_call(["mount", "-o", "remount,rw", "/usr"], stderr=2),
)"#;
    assert_all_refused(&tried(&mut rig, "", tries, params).await);
    assert!(!outside.exists());
    assert_eq!(fs::read_to_string(rig.work().join("mine")).unwrap(), "x", "its work stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_neither_the_home_nor_other_peoples_files() {
    let mut rig = Rig::new();
    fs::write(rig.home.path().join("note"), "private").unwrap();
    symlink(rig.home.path().join("secrets.toml"), rig.runner.registry().folder().parent().unwrap().join("link"))
        .unwrap();
    let params = json!({ "home": rig.home.path(), "crate": env!("CARGO_MANIFEST_DIR") });
    let tries = r#"
os.symlink(params["home"] + "/secrets.toml", "link") if not os.path.lexists("link") else None
r = lambda path: open(path).read()
tries(
    secrets=lambda: r(params["home"] + "/secrets.toml"), note=lambda: r(params["home"] + "/note"), link=lambda: r("link"),
    listing=lambda: os.listdir(params["home"]), crate=lambda: os.listdir(params["crate"]), root=lambda: os.listdir("/root"),
    homes=lambda: os.listdir("/home"), shadow=lambda: r("/etc/shadow"), passwd=lambda: r("/etc/passwd"), var=lambda: os.listdir("/var"),
    through=lambda: os.listdir("/proc/1/root/root"), cwd=lambda: os.listdir("/proc/1/cwd/../../../root"), sys=lambda: os.listdir("/sys"),
)"#;
    assert_all_refused(&tried(&mut rig, "", tries, params).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_it_leaves_leads_nobody_astray() {
    let mut rig = Rig::new();
    rig.python("", "os.symlink('/etc/passwd', 'list.csv'); os.symlink('/', 'all'); say(result={})");
    rig.gives(json!({})).await;
    // The next one is given what the link leads to, or nothing.
    let link = rig.work().join("all").display().to_string();
    rig.python(
        "path_params = [\"path\"]\n[inputs.properties]\npath = { type = \"string\" }",
        "say(result=os.listdir(params['path']))",
    );
    let err = rig.run(json!({ "path": link })).await.result.unwrap_err();
    assert!(err.message.contains("holds the program's own"), "{}", err.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_no_network_and_sees_none() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    let params = json!({ "port": server.local_addr().unwrap().port() });
    let tries = r#"
def connect(kind, to, family=socket.AF_INET):
    one = socket.socket(family, kind); one.settimeout(1); one.connect(to); one.send(b"x")
    if kind == socket.SOCK_DGRAM: one.recv(1)
tries(
    local=lambda: connect(socket.SOCK_STREAM, ("127.0.0.1", params["port"])), far=lambda: connect(socket.SOCK_STREAM, ("1.1.1.1", 443)),
    dns=lambda: connect(socket.SOCK_DGRAM, ("1.1.1.1", 53)), metadata=lambda: connect(socket.SOCK_STREAM, ("169.254.169.254", 80)),
    name=lambda: socket.getaddrinfo("example.org", 443), listen=lambda: socket.create_server(("0.0.0.0", 8099)),
    packet=lambda: socket.socket(17, socket.SOCK_RAW), netlink=lambda: socket.socket(16, socket.SOCK_RAW), vsock=lambda: socket.socket(40, socket.SOCK_STREAM),
    alg=lambda: socket.socket(38, socket.SOCK_SEQPACKET), raw=lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    docker=lambda: connect(socket.SOCK_STREAM, "/var/run/docker.sock", socket.AF_UNIX), dbus=lambda: connect(socket.SOCK_STREAM, "\0/tmp/dbus", socket.AF_UNIX),
)"#;
    assert_all_refused(&tried(&mut rig, "", tries, params).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sees_no_other_process_and_calls_nothing_that_it_should_not() {
    let mut rig = Rig::new();
    let params = json!({ "pid": std::process::id() });
    let tries = r#"
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    if libc.syscall(*args) == -1: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and b"sandbox" not in open(f"/proc/{pid}/cmdline", "rb").read() and int(pid) != os.getpid()]
say(log="others: " + json.dumps(others))
say(log="caps: " + [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1])
say(log="new privileges: " + [line for line in open("/proc/self/status") if line.startswith("NoNewPrivs")][0].split()[1])
# Numbers of x86-64; elsewhere they are other calls, which are refused or unknown to it as well.
tries(
    kill=lambda: os.kill(params["pid"], 0), unshare=lambda: call(272, 0x10000000), setns=lambda: call(308, 0, 0), ptrace=lambda: call(101, 16, 1, 0, 0),
    bpf=lambda: call(321, 0, 0, 0), keyctl=lambda: call(250, 0, 0), userfaultfd=lambda: call(323, 1), io_uring=lambda: call(425, 8, 0),
    perf=lambda: call(298, 0, 0, 0, 0, 0), mount=lambda: call(165, 0, 0, 0, 0, 0), chroot=lambda: os.chroot("/tmp"),
    newuser=lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0), clone3=lambda: call(435, 0, 0), twin=lambda: call(0x40000000 | 272, 0x10000000),
    typed=lambda: fcntl.ioctl(0, 0x5412, b"x"), nice=lambda: os.sethostname("x"), handle=lambda: call(304, 0, 0, 0),
    setuid=lambda: os.setuid(1), memory=lambda: open("/proc/1/mem", "rb").read(1),
)"#;
    assert_all_refused(&tried(&mut rig, "", tries, params).await);
    let logs = rig.notes.logs.join("\n");
    assert!(logs.contains("others: []"), "{logs}");
    assert!(logs.contains("caps: 0000000000000000"), "{logs}");
    assert!(logs.contains("new privileges: 1"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_environment_comes_along_and_secrets_come_by_name_only() {
    let mut rig = Rig::new();
    rig.python(
        "secrets = [\"API_KEY\", \"FROM_ENV\"]",
        "say(result={'env': dict(os.environ), 'secrets': sorted(given['secrets']), 'args': sys.argv, 'key': given['secrets']['API_KEY'], \
         'length': len(given['secrets']['API_KEY'])})\nprint('the key is ' + given['secrets']['API_KEY'], file=sys.stderr)",
    );
    let result = rig.gives(json!({})).await;
    let names: Vec<_> = result["env"].as_object().unwrap().keys().cloned().collect();
    for name in &names {
        let known =
            ["PATH", "HOME", "PWD", "TMPDIR", "LANG", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"];
        assert!(known.contains(&name.as_str()), "{names:?}");
    }
    assert_eq!(result["secrets"], json!(["API_KEY", "FROM_ENV"]));
    assert_eq!((&result["key"], &result["length"]), (&json!("***"), &json!(23)), "it had it, and cannot pass it on");
    assert!(rig.notes.logs.contains(&"the key is ***".to_owned()), "{:?}", rig.notes.logs);

    // While it runs, nobody finds the secret beside it.
    rig.python("secrets = [\"API_KEY\"]", "text = open('/proc/self/environ').read() + open('/proc/self/cmdline').read()\nsay(result={'found': given['secrets']['API_KEY'] in text})");
    assert_eq!(rig.gives(json!({})).await, json!({ "found": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_names_what_it_may_read_and_no_more() {
    let lists = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let list = lists.path().join("leads.csv");
    fs::write(&list, "email\na@example.org\n").unwrap();
    fs::write(lists.path().join("other.csv"), "x").unwrap();
    let manifest = "path_params = [\"path\", \"paths\"]\n[inputs.properties]\npath = { type = \"string\" }\npaths = { type = \"array\" }\n\
                    other = { type = \"string\" }";
    rig.python(
        manifest,
        "def tried(what):\n  try: return what()\n  except OSError as err: return type(err).__name__\n\
         say(result=[open(params['path']).read(), tried(lambda: os.listdir(os.path.dirname(params['path']))), tried(lambda: open(params['path'], 'a').write('x')), tried(lambda: open(params['other']).read())])",
    );
    let params = json!({ "path": list, "other": lists.path().join("other.csv") });
    let result = rig.gives(params).await;
    assert_eq!(result[0], json!("email\na@example.org\n"));
    assert_ne!(result[1], json!(["leads.csv", "other.csv"]));
    assert!(result[2].is_string() && result[3] == json!("FileNotFoundError"), "{result}");

    let refused = async |rig: &mut Rig, path: String| {
        let err = rig.run(json!({ "path": path })).await.result.unwrap_err();
        assert!(matches!(err.code, ErrorCode::InvalidParams | ErrorCode::Tool), "{err:?}");
        err.message
    };
    let home = rig.home.path().to_owned();
    symlink(home.join("secrets.toml"), lists.path().join("link.csv")).unwrap();
    for path in [
        home.join("secrets.toml"),
        home.clone(),
        home.join("tools/../secrets.toml"),
        lists.path().join("link.csv"),
        "/".into(),
    ] {
        let said = refused(&mut rig, path.display().to_string()).await;
        assert!(said.contains("the program's own"), "{said}");
    }
    fs::create_dir(lists.path().join(".ssh")).unwrap();
    fs::write(lists.path().join(".ssh/id"), "x").unwrap();
    assert!(refused(&mut rig, lists.path().join(".ssh/id").display().to_string()).await.contains("keys and settings"));
    let whole = refused(&mut rig, lists.path().display().to_string()).await;
    assert!(whole.contains("holds keys and settings"), "{whole}");
    assert!(refused(&mut rig, "/etc/passwd".to_owned()).await.contains("not given to tools"));
    assert!(refused(&mut rig, lists.path().join("none.csv").display().to_string()).await.contains("cannot be read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_layer_nothing_runs_unless_the_operator_says_so() {
    // A program that cannot shut anything in, in the place of ours.
    let mut rig = Rig::with(|options| options.program = "/bin/false".into());
    rig.python("", "say(result={'ran': True})");
    let err = rig.fails().await;
    assert!(err.message.contains("no tool runs, because it could not be shut in"), "{}", err.message);
    assert!(!rig.runner.sandbox().level().await.is_whole());
}
