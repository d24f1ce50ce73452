//! The words that a holder and those who ask it speak: docs/hold.md.

use crate::args::label;
use crate::recipient::To;
use serde_json::{Value, json};
use std::fmt::{self, Display};
use std::time::Duration;

#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Store {
        label: String,
        expire: Option<Duration>,
        replace: bool,
    },
    Fetch {
        label: String,
    },
    Take {
        label: String,
    },
    Drop {
        label: String,
    },
    List {
        after: Option<String>,
    },
    /// To the inbox with this address.
    HandOver {
        to: Option<String>,
    },
    Next {
        after: Option<String>,
    },
    Done,
}

/// Why a request was not done.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Refusal {
    NoSuchLabel,
    LabelInUse,
    NoRoom,
    NotAllowed,
    /// To whoever this is, if that is known.
    Moved(Option<To>),
    BadRequest(String),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoSuchLabel => f.write_str("error no-such-label"),
            Refusal::LabelInUse => f.write_str("error label-in-use"),
            Refusal::NoRoom => f.write_str("error no-room"),
            Refusal::NotAllowed => f.write_str("error not-allowed"),
            Refusal::Moved(Some(to)) => write!(f, "error moved {to}"),
            Refusal::Moved(None) => f.write_str("error moved"),
            Refusal::BadRequest(text) => write!(f, "error bad-request {text}"),
        }
    }
}

/// A request to store.
pub fn store(label: &str, expire: Option<Duration>, replace: bool) -> String {
    let expire = expire.map(|time| format!(" expire={}", time.as_secs_f64())).unwrap_or_default();
    format!("store {label}{expire}{}", if replace { " replace" } else { "" })
}

/// What an asker wants that has sent `count` descriptors along.
pub fn parse_request(data: &[u8], count: usize) -> Result<Request, Refusal> {
    let bad = |text: &str| Refusal::BadRequest(text.to_owned());
    let text = std::str::from_utf8(data).map_err(|_| bad("not UTF-8"))?;
    let mut words = text.trim_end_matches('\n').split(' ');
    let verb = words.next().unwrap_or_default();
    if verb == "store" {
        return parse_store(words, count);
    }
    if count > 0 {
        return Err(bad("descriptors come with store alone"));
    }
    let argument = words.next().map(|word| label(word).map_err(Refusal::BadRequest)).transpose()?;
    if words.next().is_some() {
        return Err(bad("too many words"));
    }
    match (verb, argument) {
        ("fetch", Some(label)) => Ok(Request::Fetch { label }),
        ("take", Some(label)) => Ok(Request::Take { label }),
        ("drop", Some(label)) => Ok(Request::Drop { label }),
        ("list", after) => Ok(Request::List { after }),
        ("next", after) => Ok(Request::Next { after }),
        ("hand-over", to) => Ok(Request::HandOver { to }),
        ("done", None) => Ok(Request::Done),
        _ => Err(bad("store, fetch, take, drop LABEL; list; hand-over, next, done")),
    }
}

fn parse_store<'a>(
    mut words: impl Iterator<Item = &'a str>,
    count: usize,
) -> Result<Request, Refusal> {
    let label = label(words.next().unwrap_or_default()).map_err(Refusal::BadRequest)?;
    let (mut expire, mut replace) = (None, false);
    for word in words {
        match word.strip_prefix("expire=") {
            Some(time) => expire = Some(seconds(time).ok_or_else(|| bad_option(word))?),
            None if word == "replace" => replace = true,
            None => return Err(bad_option(word)),
        }
    }
    if count == 0 {
        return Err(Refusal::BadRequest("store comes with descriptors".to_owned()));
    }
    Ok(Request::Store { label, expire, replace })
}

fn bad_option(word: &str) -> Refusal {
    Refusal::BadRequest(format!("{word}: not expire=SECONDS or replace"))
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// What an answer says beside `ok`.
pub fn parse_answer(data: &[u8]) -> Result<String, Refusal> {
    let text = String::from_utf8_lossy(data);
    if let Some(said) = text.strip_prefix("ok")
        && (said.is_empty() || said.starts_with([' ', '\n']))
    {
        return Ok(said.get(1..).unwrap_or_default().to_owned());
    }
    let mut words = text.splitn(3, ' ');
    Err(match (words.next(), words.next(), words.next()) {
        (Some("error"), Some("no-such-label"), _) => Refusal::NoSuchLabel,
        (Some("error"), Some("label-in-use"), _) => Refusal::LabelInUse,
        (Some("error"), Some("no-room"), _) => Refusal::NoRoom,
        (Some("error"), Some("not-allowed"), _) => Refusal::NotAllowed,
        (Some("error"), Some("moved"), to) => Refusal::Moved(to.and_then(|to| to.parse().ok())),
        _ => Refusal::BadRequest(text.into_owned()),
    })
}

/// One line of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    pub label: String,
    pub count: usize,
    /// In so many seconds.
    pub expires: Option<Duration>,
    /// Who stored it.
    pub pid: i32,
    pub uid: u32,
    pub what: String,
}

impl Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listed { label, count, expires, pid, uid, what } = self;
        let expires = expires.map_or("-".to_owned(), |time| format!("{:.3}", time.as_secs_f64()));
        write!(f, "{label} {count} {expires} {pid} {uid} {what}")
    }
}

impl Listed {
    pub fn parse(line: &str) -> Option<Listed> {
        let mut words = line.splitn(6, ' ');
        Some(Listed {
            label: label(words.next()?).ok()?,
            count: words.next()?.parse().ok()?,
            expires: match words.next()? {
                "-" => None,
                time => Some(seconds(time)?),
            },
            pid: words.next()?.parse().ok()?,
            uid: words.next()?.parse().ok()?,
            what: crate::output::clean(words.next().unwrap_or_default()),
        })
    }

    pub fn row(&self) -> Vec<String> {
        let expires =
            self.expires.map_or("never".to_owned(), |time| format!("{}s", time.as_secs()));
        let [count, pid, uid] =
            [self.count.to_string(), self.pid.to_string(), self.uid.to_string()];
        vec![self.label.clone(), count, expires, pid, uid, self.what.clone()]
    }

    pub fn json(&self) -> Value {
        json!({
            "label": self.label,
            "fds": self.count,
            "expires_s": self.expires.map(|time| time.as_secs_f64()),
            "pid": self.pid,
            "uid": self.uid,
            "what": self.what,
        })
    }
}

/// The lines of a list, and whether there are more.
pub fn parse_list(said: &str) -> Option<(Vec<Listed>, bool)> {
    let mut lines: Vec<&str> = said.lines().collect();
    let more = lines.pop_if(|last| *last == "more").is_some();
    let listed = lines.into_iter().map(Listed::parse).collect::<Option<Vec<_>>>()?;
    // A list that goes on with nothing would go on for ever.
    Some((listed, more)).filter(|(listed, more)| !more || !listed.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood_or_refused() {
        let store = Request::Store {
            label: "web".to_owned(),
            expire: Some(Duration::from_millis(1500)),
            replace: true,
        };
        assert_eq!(
            parse_request(
                super::store("web", Some(Duration::from_millis(1500)), true).as_bytes(),
                1
            ),
            Ok(store)
        );
        assert_eq!(parse_request(b"list\n", 0), Ok(Request::List { after: None }));
        assert_eq!(parse_request(b"hand-over", 0), Ok(Request::HandOver { to: None }));
        for (data, count) in [
            (&b"store web"[..], 0),
            (b"store", 1),
            (b"store a:b", 1),
            (b"store web expire=-1", 1),
            (b"store web expire=nan", 1),
            (b"store web forever", 1),
            (b"fetch", 0),
            (b"fetch web", 1),
            (b"fetch web now", 0),
            (b"\xff", 0),
            (b"", 0),
        ] {
            let refused = parse_request(data, count);
            assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{data:?}: {refused:?}");
        }
    }

    #[test]
    fn answers_say_what_was_meant() {
        assert_eq!(parse_answer(b"ok"), Ok(String::new()));
        assert_eq!(parse_answer(b"ok\na 1"), Ok("a 1".to_owned()));
        for refusal in [
            Refusal::NoSuchLabel,
            Refusal::NoRoom,
            Refusal::Moved("7".parse().ok()),
            Refusal::LabelInUse,
            Refusal::NotAllowed,
        ] {
            assert_eq!(parse_answer(refusal.to_string().as_bytes()), Err(refusal));
        }
        assert!(matches!(parse_answer(b"okay"), Err(Refusal::BadRequest(_))));
    }

    #[test]
    fn lists_come_in_pages() {
        let line = "web 2 1.500 7 0 tcp-listener on 127.0.0.1:80, pipe read end";
        let listed = Listed::parse(line).expect("well formed");
        assert_eq!(listed.to_string(), line);
        assert_eq!(parse_list(&format!("{line}\nmore")), Some((vec![listed], true)));
        assert_eq!(parse_list(""), Some((vec![], false)));
        assert_eq!(parse_list("more"), None);
        assert_eq!(parse_list("web x"), None);
    }
}
