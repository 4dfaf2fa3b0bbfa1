//! A program that changes things through the API all the time, and looks at the end what became of
//! that: it makes records of cameras, changes each a few times, and deletes some.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{Api, History, What};
use crate::wait_until;

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(200);
/// How often each is changed.
const CHANGES: u64 = 3;
/// How long a last look may take: everything has been mended by then.
const LOOK: Duration = Duration::from_secs(60);
const NAME: &str = "writer";

/// A running one.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    done: mpsc::Receiver<BTreeMap<String, Option<Made>>>,
    api: Api,
    history: History,
}

/// A record that was made, as last seen.
#[derive(Debug)]
struct Made {
    id: String,
}

impl Writer {
    /// Starts it.
    pub(super) fn start(api: &Api, history: &History) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (told, done) = mpsc::channel();
        let (stopped, api, history) = (Arc::clone(&stop), api.clone(), history.clone());
        let (all, writer) = (history.clone(), api.clone());
        thread::spawn(move || {
            let mut made = BTreeMap::new();
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let object = format!("written-{number}");
                let record = live(&writer, &all, &object, number % 4 == 3, &stopped);
                made.insert(object, record);
            }
            let _ = told.send(made);
        });
        Self {
            stop,
            done,
            api,
            history,
        }
    }

    /// Stops it, and writes into the history what became of everything that it has asked for.
    pub fn finish(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let made = self.done.recv_timeout(LOOK).context("the writer ends")?;
        for (object, record) in made {
            let value = wait_until(format!("what became of {object}"), LOOK, || {
                find(&self.api, &object, record.as_ref()).ok()
            })?;
            self.history.write(NAME, What::Found { object, value });
        }
        Ok(())
    }
}

/// The life of one record. Returns it if an answer gave its id.
fn live(
    api: &Api,
    history: &History,
    object: &str,
    dies: bool,
    stopped: &AtomicBool,
) -> Option<Made> {
    let step = |value, ask: &dyn Fn() -> anyhow::Result<(u16, Value)>| {
        let object = || object.to_owned();
        history.write(
            NAME,
            What::Asked {
                object: object(),
                value,
            },
        );
        let answer = ask();
        let (what, answer) = match answer {
            Ok((200..300, answer)) => (
                What::Acknowledged {
                    object: object(),
                    value,
                },
                Some(answer),
            ),
            Ok((400..500, _)) => (
                What::Refused {
                    object: object(),
                    value,
                },
                None,
            ),
            _ => (
                What::Unanswered {
                    object: object(),
                    value,
                },
                None,
            ),
        };
        history.write(NAME, what);
        thread::sleep(PAUSE);
        answer
    };
    let create = json!({
        "name": object, "external_id": object, "enabled": false, "labels": {"value": "0"},
        "source": {"type": "pull", "url": "rtsp://192.0.2.1/"},
    });
    let made = step(Some(0), &|| api.call("POST", "/v1/cameras", Some(&create)))?;
    let made = Made {
        id: made["id"].as_str()?.to_owned(),
    };
    let path = format!("/v1/cameras/{}", made.id);
    for value in 1..=CHANGES {
        if stopped.load(Ordering::Relaxed) {
            return Some(made);
        }
        let change = json!({"labels": {"value": value.to_string()}});
        // What is not answered may still be done, and would come after the next one.
        if step(Some(value), &|| api.call("PATCH", &path, Some(&change))).is_none() {
            return Some(made);
        }
    }
    if dies {
        step(None, &|| api.call("DELETE", &path, None));
    }
    Some(made)
}

/// What it is now; none: it is gone.
fn find(api: &Api, object: &str, made: Option<&Made>) -> anyhow::Result<Option<u64>> {
    let found = match made {
        Some(made) => match api.call("GET", &format!("/v1/cameras/{}", made.id), None)? {
            (404, _) => return Ok(None),
            (200, camera) => camera,
            (status, _) => bail!("{status}"),
        },
        None => {
            let path = format!("/v1/cameras?external_id={object}");
            let (status, mut list) = api.call("GET", &path, None)?;
            if status != 200 {
                bail!("{status}");
            }
            let first = list["items"].get_mut(0).map(Value::take);
            let Some(first) = first else {
                return Ok(None);
            };
            first
        }
    };
    let value = found["labels"]["value"].as_str().context("has a value")?;
    Ok(Some(value.parse()?))
}
