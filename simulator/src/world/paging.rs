//! Lists in pages, in the envelopes of Twilio's two APIs.

use serde_json::{Value, json};

/// A page of a list: `Page` and `PageSize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// From 0.
    pub number: usize,
    /// Rows asked for; Twilio's default is 50.
    pub size: usize,
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
