//! Somebody who visits the console with JavaScript off: keeps a cookie, reads pages, and sends their forms.

use reqwest::{Client, Method, RequestBuilder, header::HeaderMap, redirect::Policy};

use super::{encoded, http::API_KEY};

pub struct Visitor {
    client: Client,
    address: String,
    /// `name=value`, as the console has set it.
    pub cookie: Option<String>,
}

/// A page, as the browser got it.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub html: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where the browser goes next.
    #[track_caller]
    pub fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.html);
        self.header("location")
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.html);
        self
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        assert!(self.html.contains(text), "`{text}` is not on the page:\n{}", self.html);
    }

    /// The value of a form's hidden field.
    #[track_caller]
    pub fn hidden(&self, name: &str) -> String {
        let mark = format!("type=\"hidden\" name=\"{name}\" value=\"");
        let (_, rest) = self.html.split_once(&mark).unwrap_or_else(|| panic!("no {name}:\n{}", self.html));
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Visitor {
    pub fn new(address: &str) -> Self {
        let client = providers::http_client().no_proxy().redirect(Policy::none());
        Self { client: client.build().unwrap(), address: address.to_owned(), cookie: None }
    }

    /// Signed in by the key of the environment.
    pub async fn signed_in(address: &str) -> Self {
        Self::with_key(address, API_KEY).await
    }

    pub async fn with_key(address: &str, key: &str) -> Self {
        let mut visitor = Self::new(address);
        let page = visitor.sign_in(key).await;
        assert_eq!(page.leads_to(), "/console");
        visitor
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Page {
        read(self.request(Method::GET, path)).await
    }

    /// A form as a browser sends it from one of our pages.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(pairs.join("&"))
    }

    /// The same, with the proof of this session that the page has.
    pub async fn fill_in(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = page.hidden("form_token");
        let mut all = fields.to_vec();
        all.push(("form_token", &token));
        self.send(self.form(path, &all)).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Page {
        read(request.header("origin", format!("http://{}", self.address))).await
    }

    pub async fn sign_in(&mut self, key: &str) -> Page {
        let page = self.send(self.form("/console/sign-in", &[("key", key), ("next", "")])).await;
        self.keep_cookie(page)
    }

    /// By the button of `holdfast dev`, which has the key itself.
    pub async fn sign_in_to_dev(&mut self) -> Page {
        let page = self.send(self.form("/console/dev/sign-in", &[("next", "")])).await;
        self.keep_cookie(page)
    }

    fn keep_cookie(&mut self, page: Page) -> Page {
        if let Some(cookie) = page.headers.get("set-cookie") {
            self.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        page
    }
}

pub async fn read(request: RequestBuilder) -> Page {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Page { status, headers, html: response.text().await.unwrap() }
}
