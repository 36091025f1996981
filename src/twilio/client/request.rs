use super::hosts::Product;
use crate::twilio::failure::About;
use std::borrow::Cow;
use url::Url;

/// The parameter of the Streams resource.
const CALLBACK: &str = "StatusCallback";

/// The names and values of a form, in order.
pub type Form = Vec<(Cow<'static, str>, String)>;

/// One HTTP request as a value. With a form it is a POST, without one a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Decides the host.
    pub product: Product,
    /// The path's segments below the host's base, not percent-encoded.
    pub path: Vec<String>,
    pub query: Option<String>,
    /// The form of a POST.
    pub form: Option<Form>,
    /// The resource that decides what a failure means.
    pub about: About,
}

impl Request {
    /// A GET.
    pub(super) fn get(product: Product, path: &[&str]) -> Self {
        Self {
            product,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: None,
            form: None,
            about: About::Other,
        }
    }

    pub(super) fn with_query(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// Makes a POST of it.
    pub(super) fn with_form(self, form: Form) -> Self {
        Self { form: Some(form), ..self }
    }

    /// Whether the address of its status callback has a fragment.
    pub(super) fn has_callback_fragment(&self) -> bool {
        let callback = self.form.iter().flatten().find(|(name, _)| name == CALLBACK);
        callback.is_some_and(|(_, address)| address.contains('#'))
    }

    /// Without it Twilio retries callbacks as it does by default.
    pub(super) fn drop_callback_fragment(&mut self) {
        for (_, address) in self.form.iter_mut().flatten().filter(|(name, _)| name == CALLBACK) {
            address.truncate(address.find('#').unwrap_or(address.len()));
        }
    }

    /// The address below a base, with the path percent-encoded.
    pub fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        // Fails only for URLs without a host, which `Client::new` refuses.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.path);
        }
        url.set_query(self.query.as_deref());
        url
    }
}
