//! Checks of what a request says, reported all at once with JSON pointers (RFC 6901).

use crate::ProblemField;

/// A request body that can check itself.
pub trait Validate {
    /// Reports everything that is wrong.
    fn validate(&self, found: &mut Violations);
}

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub struct Violations {
    at: String,
    fields: Vec<ProblemField>,
}

impl Violations {
    /// Reports `detail` about `field` of the present object; an empty `field` means the object.
    pub fn report(&mut self, field: &str, detail: impl Into<String>) {
        let pointer = if field.is_empty() {
            self.at.clone()
        } else {
            self.pointer(field)
        };
        self.fields.push(ProblemField {
            pointer,
            detail: detail.into(),
        });
    }

    /// Reports what was found in a part of the present object; its pointer starts there.
    pub fn report_field(&mut self, mut field: ProblemField) {
        field.pointer.insert_str(0, &self.at);
        self.fields.push(field);
    }

    /// Runs `check` with `field` of the present object as the present object.
    pub fn within(&mut self, field: &str, check: impl FnOnce(&mut Self)) {
        let outer = self.pointer(field);
        let outer = std::mem::replace(&mut self.at, outer);
        check(self);
        self.at = outer;
    }

    /// A text of `1..=max` characters without control characters and outer white space.
    pub fn text(&mut self, field: &str, text: &str, max: usize) {
        if text.trim().is_empty() {
            self.report(field, "must not be empty");
        } else if text.chars().count() > max {
            self.report(field, format!("must have at most {max} characters"));
        } else if text.chars().any(char::is_control) || text.trim() != text {
            self.report(
                field,
                "must have no control characters and no white space at its ends",
            );
        }
    }

    /// As [`Violations::text`], where the field may be absent.
    pub fn optional_text(&mut self, field: &str, text: Option<&str>, max: usize) {
        if let Some(text) = text {
            self.text(field, text, max);
        }
    }

    /// An email address as people use them: ASCII, so that no two look alike.
    pub fn email(&mut self, field: &str, text: &str) {
        let parts = text.rsplit_once('@').filter(|(name, domain)| {
            let printable = |part: &str| part.bytes().all(|b| b.is_ascii_graphic());
            let domain_label = |label: &str| !label.is_empty() && label.len() <= 63;
            (1..=64).contains(&name.len())
                && printable(name)
                && !name.contains('@')
                && domain.split('.').all(domain_label)
                && domain
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        });
        if parts.is_none() || text.len() > 254 {
            self.report(
                field,
                "must be an email address in ASCII, like `ann@example.com`",
            );
        }
    }

    /// What was found; empty means that the request is good.
    #[must_use]
    pub fn into_fields(self) -> Vec<ProblemField> {
        self.fields
    }

    fn pointer(&self, field: &str) -> String {
        format!(
            "{}/{}",
            self.at,
            field.replace('~', "~0").replace('/', "~1")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_addresses_are_told_from_other_texts() {
        let reports = |text: &str| {
            let mut found = Violations::default();
            found.email("email", text);
            found.into_fields().len()
        };
        let long = format!("{}@example.com", "a".repeat(65));
        for good in [
            "ann@example.com",
            "A.B+c@x-y.de",
            "root@localhost",
            "o'neil@a.ie",
        ] {
            assert_eq!(reports(good), 0, "{good}");
        }
        for bad in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "a b@example.com",
            "ann@exa mple.com",
            "a@b@c.de",
            "ann@.com",
            "ann@example..com",
            "änn@example.com",
            "ann@example.com\n",
            &long,
        ] {
            assert_eq!(reports(bad), 1, "{bad:?}");
        }
    }

    #[test]
    fn pointers_nest_and_escape() {
        let mut found = Violations::default();
        found.within("labels", |found| found.report("a/b~c", "bad"));
        found.text("name", "", 10);
        found.within("item", |found| {
            found.report_field(ProblemField {
                pointer: "/credentials/password".to_owned(),
                detail: "bad".to_owned(),
            });
        });
        let pointers: Vec<_> = found.into_fields().into_iter().map(|f| f.pointer).collect();
        let expected = ["/labels/a~1b~0c", "/name", "/item/credentials/password"];
        assert_eq!(pointers, expected);
    }
}
