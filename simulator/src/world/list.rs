//! Lists: which rows a query means, and in pages, in the envelopes of Twilio's two APIs.

use super::Reply;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// Twilio's default for `PageSize`.
const PAGE_SIZE: usize = 50;

/// What a list was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Which page.
    pub page: PageQuery,
    /// The other parameters, as they came.
    pub filters: Vec<(String, String)>,
}

/// A filter of a list: the parameter, the field of a row that it is compared with, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter(pub(super) &'static str, pub(super) &'static str, pub(super) Compare);

/// How a parameter is compared with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// The same text; several, with commas between or one parameter each, mean any of them.
    Text,
    /// "true", or anything else for false.
    Flag,
    /// A date, or a time where the field has one. `<` and `>` behind the parameter's name mean "or before", "or after".
    Date,
}

impl ListQuery {
    /// Reads the parameters of a request.
    pub fn read(parameters: &[(String, String)]) -> Self {
        let number = |wanted: &str| {
            parameters.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| value.parse::<usize>().ok())
        };
        let page = PageQuery { number: number("Page").unwrap_or(0), size: number("PageSize").unwrap_or(PAGE_SIZE) };
        let filters = parameters.iter().filter(|(name, _)| !["Page", "PageSize", "PageToken"].contains(&name.as_str()));
        Self { page, filters: filters.cloned().collect() }
    }

    /// The value of a parameter.
    pub(super) fn get(&self, wanted: &str) -> Option<&str> {
        self.filters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The rows that the query means. A parameter that the list does not know has no bearing.
    pub(super) fn select(&self, rows: Vec<Value>, known: &[Filter]) -> Result<Vec<Value>, Reply> {
        let mut rows = rows;
        for (name, wanted) in &self.filters {
            let (plain, order) = match name.strip_suffix(['<', '>']) {
                Some(plain) => (plain, name.chars().last()),
                None => (name.as_str(), None),
            };
            let Some(Filter(_, field, compare)) = known.iter().find(|filter| filter.0 == plain) else { continue };
            match compare {
                Compare::Text => {
                    let given = || self.filters.iter().filter(|(other, _)| other == name).map(|(_, wanted)| wanted);
                    let any: Vec<&str> =
                        given().flat_map(|wanted| wanted.split(',').chain([wanted.as_str()])).collect();
                    rows.retain(|row| any.contains(&text_of(&row[*field]).as_str()));
                }
                Compare::Flag => rows.retain(|row| row[*field] == wanted.eq_ignore_ascii_case("true")),
                Compare::Date => {
                    let wanted = Moment::read(wanted)
                        .ok_or_else(|| Reply::error(400, 20001, &format!("{name} is not a date as in 2026-11-26")))?;
                    rows.retain(|row| wanted.admits(text_of(&row[*field]).as_str(), order));
                }
            }
        }
        Ok(rows)
    }

    /// The 2010 API's list of these rows.
    pub(super) fn list_2010(&self, key: &str, rows: Vec<Value>, limit: usize, path: &str) -> Value {
        self.page.list_2010(key, rows, limit, path, &self.asked())
    }

    /// The list of the APIs with a `meta` object.
    pub(super) fn list_v1(&self, key: &str, rows: Vec<Value>, limit: usize, url: &str) -> Value {
        self.page.list_v1(key, rows, limit, url, &self.asked())
    }

    fn asked(&self) -> Vec<(&str, &str)> {
        self.filters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A day, or a time to the second.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Day(Date),
    Second(i64),
}

impl Moment {
    fn read(text: &str) -> Option<Self> {
        if let Ok(day) = text.parse::<Date>()
            && text.len() == 10
        {
            return Some(Self::Day(day));
        }
        Some(Self::Second(text.parse::<Timestamp>().ok()?.as_second()))
    }

    /// Whether the time, as one of Twilio's APIs writes it, is this, or before or after it as `order` says.
    fn admits(self, time: &str, order: Option<char>) -> bool {
        let found = jiff::fmt::rfc2822::parse(time).map(|zoned| zoned.timestamp()).or_else(|_| time.parse());
        let Ok(found) = found else { return false };
        let found = match self {
            Self::Day(day) => found.to_zoned(TimeZone::UTC).date().cmp(&day),
            Self::Second(second) => found.as_second().cmp(&second),
        };
        match order {
            Some('<') => found.is_le(),
            Some(_) => found.is_ge(),
            None => found.is_eq(),
        }
    }
}

/// A page of a list: `Page` and `PageSize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQuery {
    /// From 0.
    pub number: usize,
    /// Rows asked for; Twilio's default is 50.
    pub size: usize,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self { number: 0, size: PAGE_SIZE }
    }
}

/// The rows of one page, of how many.
struct Cut {
    rows: Vec<Value>,
    total: usize,
    size: usize,
}

impl PageQuery {
    /// The 2010 API's list, with relative addresses of the neighbouring pages. A page has at most `limit` rows.
    pub(super) fn list_2010(
        self,
        key: &str,
        rows: Vec<Value>,
        limit: usize,
        path: &str,
        filters: &[(&str, &str)],
    ) -> Value {
        let Cut { rows, total, size } = self.cut(rows, limit);
        let start = self.number * size;
        let address = |number: usize| address(path, filters, number, size);
        json!({
            key: rows, "page": self.number, "page_size": size,
            "start": start, "end": (start + rows.len()).saturating_sub(1),
            "uri": address(self.number), "first_page_uri": address(0),
            "next_page_uri": (start + size < total).then(|| address(self.number + 1)),
            "previous_page_uri": self.number.checked_sub(1).map(address),
        })
    }

    /// The list of the APIs with a `meta` object, such as TaskRouter's.
    pub(super) fn list_v1(
        self,
        key: &str,
        rows: Vec<Value>,
        limit: usize,
        url: &str,
        filters: &[(&str, &str)],
    ) -> Value {
        let Cut { rows, total, size } = self.cut(rows, limit);
        let address = |number: usize| address(url, filters, number, size);
        json!({
            key: rows,
            "meta": {
                "key": key, "page": self.number, "page_size": size, "url": address(self.number),
                "first_page_url": address(0), "previous_page_url": self.number.checked_sub(1).map(address),
                "next_page_url": ((self.number + 1) * size < total).then(|| address(self.number + 1)),
            },
        })
    }

    fn cut(self, rows: Vec<Value>, limit: usize) -> Cut {
        let size = self.size.clamp(1, limit.max(1));
        let total = rows.len();
        let rows = rows.into_iter().skip(self.number.saturating_mul(size)).take(size).collect();
        Cut { rows, total, size }
    }
}

fn address(base: &str, filters: &[(&str, &str)], number: usize, size: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(filters);
    query.append_pair("PageSize", &size.to_string()).append_pair("Page", &number.to_string());
    format!("{base}?{}", query.finish())
}
