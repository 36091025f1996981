use super::hosts::Product;
use crate::twilio::failure::About;
use std::borrow::Cow;
use url::Url;

/// The names and values of a form, in order.
pub type Form = Vec<(Cow<'static, str>, String)>;

/// One HTTP request as a value. With a form it is a POST, without one a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Decides the host.
    pub product: Product,
    /// The path's segments below the host's base, not percent-encoded.
    pub path: Vec<String>,
    /// Percent-encoded.
    pub query: Option<String>,
    /// The form of a POST.
    pub form: Option<Form>,
    /// The resource that decides what a failure means.
    pub about: About,
    /// For a command any 2xx is success, whatever its body.
    pub is_command: bool,
}

impl Request {
    /// A GET that is no command.
    pub(super) fn get(product: Product, path: &[&str]) -> Self {
        Self {
            product,
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            query: None,
            form: None,
            about: About::Other,
            is_command: false,
        }
    }

    pub(super) fn with_query(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// Makes a POST of it.
    pub(super) fn with_form(self, form: Form) -> Self {
        Self { form: Some(form), ..self }
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
