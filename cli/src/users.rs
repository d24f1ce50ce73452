//! Users and groups by name: those of `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;

/// The number of a user, from a name or a number.
pub fn user(text: &str) -> Result<u32, String> {
    id(text, "/etc/passwd", "user")
}

/// The number of a group, from a name or a number.
pub fn group(text: &str) -> Result<u32, String> {
    id(text, "/etc/group", "group")
}

fn id(text: &str, table: &str, what: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    entries(table)
        .find_map(|(name, number)| (name == text).then_some(number))
        .ok_or_else(|| format!("no {what} of this name in {table}: name it by its number"))
}

/// What users are called.
pub fn names() -> HashMap<u32, String> {
    entries("/etc/passwd").map(|(name, number)| (number, name)).collect()
}

fn entries(table: &str) -> impl Iterator<Item = (String, u32)> {
    let table = std::fs::read_to_string(table).unwrap_or_default();
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((name, fields.nth(1)?.parse().ok()?))
    };
    table.lines().filter_map(entry).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::{group, names, user};

    #[test]
    fn names_and_numbers_are_known() {
        assert_eq!((user("root"), user("4711"), group("root")), (Ok(0), Ok(4711), Ok(0)));
        assert!(user("no such user").is_err() && group("-1").is_err());
        assert_eq!(names().get(&0).map(String::as_str), Some("root"));
    }
}
