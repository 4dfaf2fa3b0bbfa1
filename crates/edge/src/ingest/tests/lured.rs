//! Cameras that would lead an edge to itself: by a name that changes, by a redirect, by what a
//! playlist says.

use super::*;
use crate::outbound::trap::{self, CLOSED, Trap};

impl World {
    fn trap(&self, answer: &'static str) -> Trap {
        let _entered = self.runtime.enter();
        Trap::set(&self.tasks, answer)
    }

    fn wait_for_words(&self, what: &str, words: &str) {
        let found = wait_until("the words", LIMIT, || {
            self.report().message.contains(words).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{what}: {error:#}: {:?}", self.report()));
    }
}

/// Everybody who connects a second time asks the name again, and checks what it is then.
#[test]
fn a_name_that_changes_leads_nowhere_whatever_is_spoken() {
    for url in [
        "rtsp://rebound:{port}/live",
        "rtsps://rebound:{port}/live",
        "rtmp://rebound:{port}/live/gate",
        "rtmps://rebound:{port}/live/gate",
        "http://rebound:{port}/live.flv",
        "https://rebound:{port}/live.flv",
        "http://rebound:{port}/live.m3u8",
        "https://rebound:{port}/live.m3u8",
    ] {
        let world = World::through(trap::rebinding());
        let trap = world.trap("");
        world.start(slot(&url.replace("{port}", &trap.port.to_string()), None));
        world.wait_for_words(url, CLOSED);
        trap.assert_nobody_is_inside(url);
        world.stop();
    }
}

#[test]
fn neither_redirects_nor_playlists_lead_inside() {
    const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:{port}/live.flv\r\n\
         content-length: 0\r\n\r\n";
    const SEGMENT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n#EXTM3U\n#EXT-X-VERSION:3\n\
         #EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.2:{port}/1.ts\n";
    const VARIANT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n#EXTM3U\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.2:{port}/live.m3u8\n";
    for (path, answer) in [
        ("live.flv", ELSEWHERE),
        ("live.m3u8", ELSEWHERE),
        ("live.m3u8", SEGMENT),
        ("live.m3u8", VARIANT),
    ] {
        let world = World::through(trap::wary());
        let trap = world.trap(answer);
        let url = format!("http://127.0.0.1:{}/{path}", trap.port);
        world.start(slot(&url, None));
        world.wait_for_words(answer, CLOSED);
        trap.assert_nobody_is_inside(answer);
        world.stop();
    }
}

/// Nothing here follows a redirect of RTSP at all.
#[test]
fn a_redirect_of_rtsp_is_an_error() {
    let world = World::through(trap::wary());
    let answer = "RTSP/1.0 302 Moved\r\n{cseq}\r\nlocation: rtsp://127.0.0.2:{port}/live\r\n\r\n";
    let trap = world.trap(answer);
    world.start(slot(&format!("rtsp://127.0.0.1:{}/live", trap.port), None));
    world.wait_for(SlotState::Failed);
    trap.assert_nobody_is_inside("a redirect");
    world.stop();
}
