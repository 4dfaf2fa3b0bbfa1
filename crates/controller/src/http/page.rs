//! Pages of lists. The page token is the id of the last item seen, with its prefix, so that the
//! token of another noun's list is refused; base64url keeps people from building on that.

use std::{fmt::Display, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{LabelFilter, Labels, Page, PageQuery};
use uuid::Uuid;

use super::error::{Refusal, Result};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<Id> {
    after: Option<Id>,
    limit: u32,
}

impl<Id: FromStr + Into<Uuid> + Copy> Cursor<Id> {
    /// Reads what the client asks for.
    pub(crate) fn new(query: &PageQuery) -> Result<Self> {
        let after = match &query.page_token {
            None => None,
            Some(token) => Some(decode(token).ok_or_else(bad_token)?),
        };
        let limit = limit(query.limit)?;
        Ok(Self { after, limit })
    }

    /// The id to go on after.
    pub(crate) fn after(&self) -> Option<Uuid> {
        self.after.map(Into::into)
    }

    /// How many rows to ask for: one more than the page has, to see whether there is another page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Makes the page of the rows that were found.
    pub(crate) fn page<T, I: Display>(&self, items: Vec<T>, id: impl Fn(&T) -> I) -> Page<T> {
        truncate(items, self.limit, |item| {
            URL_SAFE_NO_PAD.encode(id(item).to_string())
        })
    }
}

/// Makes a page of at most `limit` of the items; a token only if there are more.
pub(crate) fn truncate<T>(mut items: Vec<T>, limit: u32, token: impl Fn(&T) -> String) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_page_token = items.last().filter(|_| more).map(token);
    Page {
        items,
        next_page_token,
    }
}

/// How many items the client wants.
pub(crate) fn limit(limit: Option<u32>) -> Result<u32> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Refusal::parameter(
            "limit",
            format!("must be 1 to {MAX_LIMIT}"),
        ))
    }
}

/// The label filter that the client asks for.
pub(crate) fn label_filter(text: Option<String>) -> Result<Labels> {
    text_filter("labels", text)?
        .unwrap_or_default()
        .parse()
        .map(|LabelFilter(labels)| labels)
        .map_err(|detail| Refusal::parameter("labels", detail))
}

/// A text to look for. Nothing that we store has control characters, and PostgreSQL refuses NUL.
pub(crate) fn text_filter(name: &str, text: Option<String>) -> Result<Option<String>> {
    if text
        .iter()
        .flat_map(|text| text.chars())
        .any(char::is_control)
    {
        return Err(Refusal::parameter(name, "must have no control characters"));
    }
    Ok(text)
}

/// The refusal of a page token that we did not make, or made for another list.
pub(crate) fn bad_token() -> Refusal {
    Refusal::parameter("page_token", "is not a `next_page_token` of this list")
}

fn decode<Id: FromStr>(token: &str) -> Option<Id> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use headworks_types::{CameraId, UserId};

    use super::*;

    fn query(limit: Option<u32>, page_token: Option<&str>) -> PageQuery {
        PageQuery {
            limit,
            page_token: page_token.map(str::to_owned),
        }
    }

    #[test]
    fn a_token_leads_on_in_its_own_list_only() {
        let cursor = Cursor::<CameraId>::new(&query(Some(2), None)).expect("is good");
        let ids: Vec<_> = (1..=3)
            .map(|n| CameraId::from(Uuid::from_u128(n)))
            .collect();
        let page = cursor.page(ids.clone(), |id| *id);
        assert_eq!(page.items, ids[..2]);
        let token = page.next_page_token.expect("there is more");
        let next = Cursor::<CameraId>::new(&query(None, Some(&token))).expect("is good");
        assert_eq!(next.after(), Some(ids[1].uuid()));
        assert!(Cursor::<UserId>::new(&query(None, Some(&token))).is_err());
        assert!(
            cursor
                .page(ids[..2].to_vec(), |id| *id)
                .next_page_token
                .is_none()
        );
    }

    #[test]
    fn bad_limits_and_tokens_are_refused() {
        for limit in [0, 1001, u32::MAX] {
            assert!(Cursor::<CameraId>::new(&query(Some(limit), None)).is_err());
        }
        for token in ["", "x", "====", "Y2FtXzE"] {
            assert!(
                Cursor::<CameraId>::new(&query(None, Some(token))).is_err(),
                "{token}"
            );
        }
    }
}
