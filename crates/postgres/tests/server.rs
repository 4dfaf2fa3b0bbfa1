//! The server as its users see it: over real processes, with `psql` as the client.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use headworks_postgres::{Error, Options, Server};

/// A place that the server's account can reach, also if we are root.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("can be made");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("is ours");
    directory
}

fn start(data: &Path) -> Server {
    Server::start(&Options::new(data)).expect("starts")
}

fn sql(server: &Server, text: &str) -> String {
    let output = Command::new("psql")
        .args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", text])
        .arg(server.url())
        .output()
        .expect("psql is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit_once(") ")
            .is_some_and(|(_, s)| s.starts_with('Z'))
    })
}

#[test]
fn data_stays_between_runs() {
    let directory = directory();
    let data = directory.path().join("data");
    let server = start(&data);
    sql(&server, "CREATE TABLE t AS SELECT 42 AS answer");
    let pid = server.pid();
    server.stop();
    assert!(!is_running(pid));
    let server = start(&data);
    assert_eq!(sql(&server, "SELECT answer FROM t"), "42");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let directory = directory();
    let data = directory.path().join("data");
    let server = start(&data);
    let error = Server::start(&Options::new(&data)).expect_err("is in use");
    assert!(matches!(error, Error::InUse(_)), "{error}");
    assert!(error.to_string().contains("data is in use"), "{error}");
    assert_eq!(sql(&server, "SELECT 1"), "1");
}

#[test]
fn the_server_outlives_the_thread_that_started_it() {
    let server = thread::spawn(|| Server::throw_away().expect("starts"))
        .join()
        .expect("does not panic");
    assert_eq!(sql(&server, "SELECT 1"), "1");
}

#[test]
fn a_socket_path_too_long_for_the_system_works() {
    let directory = directory();
    let data = directory.path().join("long".repeat(30)).join("data");
    let server = start(&data);
    assert_eq!(sql(&server, "SELECT 1"), "1");
    let short = fs::read_link(data.join("run")).expect("a link to a short path");
    server.stop();
    assert!(!short.exists());
    assert_eq!(sql(&start(&data), "SELECT 1"), "1");
}

#[test]
fn a_throw_away_server_leaves_nothing() {
    let server = Server::throw_away().expect("starts");
    assert_eq!(sql(&server, "SHOW fsync"), "off");
    let run = PathBuf::from(server.url().split_once("host=").expect("has one").1);
    assert!(run.is_dir());
    server.stop();
    assert!(!run.parent().expect("has one").exists());
}

/// The program that [`a_killed_run_leaves_no_server_and_the_next_one_starts`] kills.
#[test]
#[ignore = "run by another test"]
fn hold() {
    let data = std::env::var_os("HOLD_DATA").expect("is set");
    let server = start(Path::new(&data));
    println!("\npid={}", server.pid());
    // Until we are killed.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_killed_run_leaves_no_server_and_the_next_one_starts() {
    use std::io::{BufRead, BufReader};

    let directory = directory();
    let data = directory.path().join("data");
    let mut program = Command::new(std::env::current_exe().expect("is known"))
        .args(["--exact", "--ignored", "--nocapture", "hold"])
        .env("HOLD_DATA", &data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let output = BufReader::new(program.stdout.take().expect("is piped"));
    let pid: u32 = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("pid=")?.parse().ok())
        .expect("is printed");
    assert!(is_running(pid));
    program.kill().expect("can be killed");
    program.wait().expect("ends");

    let server = start(&data);
    assert!(!is_running(pid), "the old server has ended");
    assert_eq!(sql(&server, "SELECT 1"), "1");
}

#[test]
fn a_stale_pid_file_with_a_living_process_does_not_hinder() {
    let directory = directory();
    let data = directory.path().join("data");
    start(&data).stop();
    // Some process that runs as the server's account may have the number by now; we do.
    let pid_file = data.join("cluster/postmaster.pid");
    fs::write(&pid_file, format!("{}\n", std::process::id())).expect("is writable");
    assert_eq!(sql(&start(&data), "SELECT 1"), "1");
}

#[test]
fn a_half_made_cluster_is_made_anew() {
    let directory = directory();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("cluster.unfinished/base")).expect("can be made");
    assert_eq!(sql(&start(&data), "SELECT 1"), "1");
}

#[test]
fn data_of_another_version_is_named() {
    let directory = directory();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("cluster")).expect("can be made");
    fs::write(data.join("cluster/PG_VERSION"), "9\n").expect("is writable");
    let error = Server::start(&Options::new(&data)).expect_err("is too old");
    assert!(error.to_string().contains("PostgreSQL 9"), "{error}");
}

#[test]
fn a_server_that_ends_at_once_says_why() {
    let directory = directory();
    let data = directory.path().join("data");
    start(&data).stop();
    let settings = data.join("cluster/postgresql.conf");
    fs::write(settings, "nonsense = 1\n").expect("is writable");
    let mut options = Options::new(&data);
    options.start_deadline = Duration::from_secs(20);
    let error = Server::start(&options).expect_err("cannot start");
    assert!(error.to_string().contains("nonsense"), "{error}");
}

#[test]
fn a_link_in_place_of_the_log_is_refused() {
    let directory = directory();
    let data = directory.path().join("data");
    start(&data).stop();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("is writable");
    let log = data.join("server.log");
    fs::remove_file(&log).expect("is there");
    symlink(&victim, &log).expect("can be made");
    let error = Server::start(&Options::new(&data)).expect_err("is a link");
    assert!(error.to_string().contains("server.log"), "{error}");
    assert_eq!(fs::read_to_string(&victim).expect("is there"), "precious");
}

#[test]
fn a_link_in_place_of_the_socket_directory_is_harmless() {
    let directory = directory();
    let data = directory.path().join("data");
    start(&data).stop();
    let victim = directory.path().join("victim");
    fs::create_dir(&victim).expect("can be made");
    fs::write(victim.join("file"), "precious").expect("is writable");
    fs::remove_dir_all(data.join("run")).expect("is there");
    symlink(&victim, data.join("run")).expect("can be made");
    assert_eq!(sql(&start(&data), "SELECT 1"), "1");
    assert!(victim.join("file").exists());
}

#[test]
fn the_servers_account_owns_only_what_it_must() {
    let directory = directory();
    let data = directory.path().join("data");
    let server = start(&data);
    let us = fs::metadata(directory.path()).expect("is there").uid();
    let account = fs::metadata(format!("/proc/{}", server.pid()))
        .expect("runs")
        .uid();
    assert_ne!(account, 0);
    let is = |name: &str| {
        let metadata = fs::symlink_metadata(data.join(name)).expect("is there");
        (metadata.uid(), metadata.mode() & 0o777)
    };
    assert_eq!(is("."), (us, if us == 0 { 0o711 } else { 0o700 }));
    assert_eq!(is("lock"), (us, 0o600));
    assert_eq!(is("server.log"), (us, 0o600));
    assert_eq!(is("cluster"), (account, 0o700));
    assert_eq!(is("run"), (account, 0o700));
}

#[test]
fn under_root_a_data_directory_that_others_can_change_is_refused() {
    let directory = directory();
    if fs::metadata(directory.path()).expect("is there").uid() != 0 {
        return;
    }
    let refuse = |data: &Path| {
        let error = Server::start(&Options::new(data)).expect_err("is not root's alone");
        assert!(matches!(error, Error::Exposed(_)), "{error}");
    };
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("can be made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1777)).expect("is ours");
    refuse(&data);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("is ours");
    // 65534 is `nobody`; who it is does not matter.
    chown(&data, Some(65_534), None).expect("we are root");
    refuse(&data);
}

#[test]
fn any_path_will_do() {
    let directory = directory();
    for name in ["it's \"my\" data, 100% $HOME\\", " a 'b' \"c\" ", "ä;é&"] {
        let data = directory.path().join(name);
        assert_eq!(sql(&start(&data), "SELECT 1"), "1", "{name}");
        // Again, since now there is a cluster.
        assert_eq!(sql(&start(&data), "SELECT 1"), "1", "{name}");
    }
}

#[test]
fn under_root_a_pid_file_cannot_have_root_interrupt_another_users_process() {
    let directory = directory();
    if fs::metadata(directory.path()).expect("is there").uid() != 0 {
        return;
    }
    let data = directory.path().join("data");
    start(&data).stop();
    let mut other = Command::new("sleep")
        .arg("600")
        .current_dir(data.join("cluster"))
        .spawn()
        .expect("runs");
    let pid_file = data.join("cluster/postmaster.pid");
    fs::write(&pid_file, format!("{}\n", other.id())).expect("is writable");
    let server = Server::start(&Options::new(&data));
    let ended = other.try_wait().expect("is our child");
    let _ = other.kill();
    let _ = other.wait();
    assert_eq!(sql(&server.expect("starts"), "SELECT 1"), "1");
    assert_eq!(ended, None);
}
