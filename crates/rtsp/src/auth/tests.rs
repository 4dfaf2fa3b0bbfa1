use std::time::{Duration, Instant};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn realm(now: Instant) -> Realm {
    Realm::new("cameras", [1; 32], MINUTE, now)
}

fn authenticator(password: &str) -> Authenticator {
    let login = Login {
        username: "admin".to_owned(),
        password: password.to_owned(),
    };
    Authenticator::new(Some(login), 1)
}

fn challenge(who: &mut Authenticator, values: &[&str]) -> Result<(), Denied> {
    who.challenged(values.iter().copied())
}

fn digest(value: &str) -> Digest {
    match Credentials::parse(value) {
        Some(Credentials::Digest(digest)) => *digest,
        other => panic!("{other:?}"),
    }
}

/// RFC 2617 §3.5 and RFC 7616 §3.9.1.
#[test]
fn the_examples_of_the_standards() {
    let old = digest(
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
         nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
         opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
    );
    assert_eq!(old.expected("GET", "Circle Of Life"), old.response);
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let new = digest(&format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"{response}\""
        ));
        assert_eq!(new.expected("GET", "Circle of Life"), response);
    }
    let Some(Credentials::Basic(login)) = Credentials::parse("basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==")
    else {
        panic!("Basic");
    };
    assert_eq!(
        (&*login.username, &*login.password),
        ("Aladdin", "open:sesame")
    );
    assert!(login.has_password("open:sesame") && !login.has_password("open:sesam"));
}

#[test]
fn the_strongest_of_several_challenges_is_answered() {
    let basic = "Basic realm=\"a, b\"";
    let md5 = "Digest realm=\"r\", nonce=\"1\"";
    let sha = "Digest realm=\"r\",nonce=\"2\",algorithm=SHA-256,qop=\"auth,auth-int\"";
    let odd = "Digest realm=\"r\", nonce=\"3\", algorithm=SHA-512-256";
    let int = "Digest realm=\"r\", nonce=\"4\", qop=\"auth-int\"";
    let one_line = [basic, sha, md5].join(", ");
    for (values, begins) in [
        (vec![basic], "Basic YWRtaW46eA=="),
        (
            vec![basic, md5],
            "Digest username=\"admin\", realm=\"r\", nonce=\"1\"",
        ),
        (
            vec![md5, sha, basic],
            "Digest username=\"admin\", realm=\"r\", nonce=\"2\"",
        ),
        (
            vec![&*one_line],
            "Digest username=\"admin\", realm=\"r\", nonce=\"2\"",
        ),
        (vec![odd, int, "NTLM", basic], "Basic "),
        // No quotes, and blanks around the equals sign.
        (
            vec!["digest realm = r ,nonce= 5"],
            "Digest username=\"admin\", realm=\"r\", nonce=\"5\"",
        ),
    ] {
        let mut who = authenticator("x");
        assert_eq!(who.authorize("OPTIONS", "rtsp://a"), None);
        challenge(&mut who, &values).unwrap();
        let answer = who.authorize("OPTIONS", "rtsp://a").unwrap();
        assert!(answer.starts_with(begins), "{answer}");
    }
    let denied = challenge(&mut authenticator("x"), &["NTLM", odd]).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "it asks for a password in no way that is known here: NTLM, Digest realm=\"r\", nonce=\"3\", algorithm=SHA-512-256"
    );
}

#[test]
fn answers_are_repeated_only_where_it_makes_sense() {
    let first = "Digest realm=\"r\", nonce=\"1\"";
    let other = "Digest realm=\"r\", nonce=\"2\"";
    let stale = "Digest realm=\"r\", nonce=\"2\", stale=TRUE";
    // A password that was never right is not right with another nonce.
    for (next, proven, denied) in [
        (first, false, true),
        (other, false, true),
        (stale, false, false),
        (first, true, true),
        (other, true, false),
        ("Basic realm=\"r\"", false, true),
    ] {
        let mut who = authenticator("x");
        challenge(&mut who, &[first]).unwrap();
        who.authorize("PLAY", "u").unwrap();
        if proven {
            who.accepted();
            who.authorize("PLAY", "u").unwrap();
        }
        let result = challenge(&mut who, &[next]);
        assert_eq!(
            result == Err(Denied::WrongPassword),
            denied,
            "{next} {proven}"
        );
    }
}

#[test]
fn a_realm_knows_its_own_nonces_for_a_while() {
    let start = start();
    let realm = realm(start);
    let made = start + Duration::from_secs(1000);
    for value in &realm.challenges(made, Schemes::Digest, false) {
        let mut who = authenticator("s3\"cr\\et");
        challenge(&mut who, &[value]).unwrap();
        let answer = digest(&who.authorize("DESCRIBE", "rtsp://h/a").unwrap());
        let check = |after, method, url, password| {
            realm.verify(made + after, &answer, (method, url), password)
        };
        let right = "s3\"cr\\et";
        let zero = Duration::ZERO;
        assert_eq!(check(zero, "DESCRIBE", "rtsp://h/a", right), Verdict::Right);
        assert_eq!(
            check(MINUTE, "DESCRIBE", "rtsp://h/a/track=1", right),
            Verdict::Right
        );
        let late = MINUTE + Duration::from_secs(1);
        assert_eq!(check(late, "DESCRIBE", "rtsp://h/a", right), Verdict::Stale);
        assert_eq!(
            check(late, "DESCRIBE", "rtsp://h/a", "guess"),
            Verdict::Wrong
        );
        assert_eq!(
            check(zero, "DESCRIBE", "rtsp://h/a", "guess"),
            Verdict::Wrong
        );
        for (url, verdict) in [
            ("rtsp://h/b", Verdict::Wrong),
            ("rtsp://h/a2", Verdict::Wrong),
            ("rtsp://h/a2/track=1", Verdict::Wrong),
            ("rtsp://h/a/", Verdict::Right),
            ("rtsp://h/a?x=1", Verdict::Right),
        ] {
            assert_eq!(check(zero, "DESCRIBE", url, right), verdict, "{url}");
        }
        assert_eq!(check(zero, "SETUP", "rtsp://h/a", right), Verdict::Wrong);

        // Another server's nonce, and a forged one.
        let elsewhere = Realm::new("cameras", [2; 32], MINUTE, start);
        let verdict = elsewhere.verify(made, &answer, ("DESCRIBE", "rtsp://h/a"), right);
        assert_eq!(verdict, Verdict::Wrong);
    }
    let challenges = realm.challenges(made, Schemes::DigestOrBasic, true);
    assert_eq!(challenges.len(), 3);
    assert!(challenges[0].contains("SHA-256") && challenges[0].contains("stale=true"));
    assert!(challenges[1].contains("MD5"));
    assert_eq!(challenges[2], "Basic realm=\"cameras\"");
    assert_eq!(
        realm.challenges(made, Schemes::Basic, false),
        ["Basic realm=\"cameras\""]
    );
}

#[test]
fn passwords_are_not_printed() {
    let login = Login {
        username: "admin".to_owned(),
        password: "hidden".to_owned(),
    };
    assert!(!format!("{:?}", Credentials::Basic(login)).contains("hidden"));
}
