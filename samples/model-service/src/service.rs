//! What a service answers.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use generate::{Aggregate, CallKind, Command, Context, DomainModel, Policy, ReadModel};
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::store::{blank, is_reference, key_value, text};
use crate::{Ask, Client, Entry, Journal, Store};

/// What an id may not have in a path.
const IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'?');

/// One context of a model, in one of its versions.
pub struct Service {
    model: DomainModel,
    context: Context,
    client: Client,
    state: Mutex<State>,
    /// Parts the ids of this process from those of others.
    seed: String,
}

struct State {
    journal: Journal,
    store: Store,
    events: u64,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    fn wrong(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: json!({"status": status.as_u16(), "message": message.into()}) }
    }
}

impl Service {
    /// The service of a context; none where the model has no such context.
    pub fn new(
        model: DomainModel,
        name: &str,
        client: Client,
        (journal, seed): (Journal, String),
    ) -> Option<Self> {
        let context = model.context(name)?.clone();
        let state = Mutex::new(State { journal, store: Store::default(), events: 0 });
        Some(Self { model, context, client, state, seed })
    }

    /// Answers a request.
    pub async fn answer(&self, (method, path): (&str, &str), headers: &HeaderMap, body: &Bytes) -> Answer {
        let path = percent_decode_str(path.split('?').next().unwrap_or_default()).decode_utf8_lossy();
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { &path };
        match path {
            "/actuator/health" => return Answer::ok(json!({"status": "UP"})),
            "/" if method == "GET" => return Answer::ok(self.root(headers)),
            _ => {}
        }
        if matches!(method, "GET" | "HEAD") {
            return self.read(path);
        }
        let commands =
            self.context.commands.iter().filter(|command| command.method.as_deref() == Some(method));
        let found =
            commands.filter_map(|command| Some((command, matched(command.path.as_deref()?, path)?))).next();
        let Some((command, id)) = found else {
            return Answer::wrong(
                StatusCode::NOT_FOUND,
                format!("{} has no {method} {path}", self.context.name),
            );
        };
        let fields: Map<String, Value> = match serde_json::from_slice(body) {
            Ok(fields) => fields,
            Err(_) if body.is_empty() => Map::new(),
            Err(error) => {
                return Answer::wrong(
                    StatusCode::BAD_REQUEST,
                    format!("the body is no JSON object: {error}"),
                );
            }
        };
        self.command(command, id, fields, headers).await
    }

    /// What can be found here.
    fn root(&self, headers: &HeaderMap) -> Value {
        let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let mut links = Map::new();
        for path in self.context.prefixes() {
            let name = path.trim_start_matches('/').to_owned();
            let href = format!("http://{host}{path}{{?page,size,sort}}");
            links.insert(name, json!({"href": href, "templated": true}));
        }
        links.insert("profile".into(), json!({"href": format!("http://{host}/profile")}));
        json!({"_links": links})
    }

    fn read(&self, path: &str) -> Answer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = state.catch_up(&self.context) {
            return Answer::wrong(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        }
        for aggregate in &self.context.aggregates {
            if let Some(answer) = state.aggregate(aggregate, path) {
                return answer;
            }
        }
        let views = self.context.read_models.iter().filter(|view| view.aggregate.is_none());
        let found = views.filter_map(|view| state.view(view, path)).next();
        found.unwrap_or_else(|| {
            Answer::wrong(StatusCode::NOT_FOUND, format!("{} has no {path}", self.context.name))
        })
    }

    async fn command(
        &self,
        command: &Command,
        id: Option<String>,
        fields: Map<String, Value>,
        headers: &HeaderMap,
    ) -> Answer {
        let mut asked = Vec::new();
        for (ask, has_fallback) in self.asks(&command.name, &fields) {
            let url = format!("{} http://{}{}", ask.method, ask.authority, ask.path);
            match self.client.ask(&ask, headers).await {
                Ok((status, body)) if status.is_success() || has_fallback => {
                    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    asked.push(json!({"call": url, "status": status.as_u16(), "answer": body}));
                }
                Ok((status, _)) => return Answer::wrong(StatusCode::BAD_GATEWAY, format!("{url}: {status}")),
                Err(error) if has_fallback => asked.push(json!({"call": url, "error": error.to_string()})),
                Err(error) => return Answer::wrong(StatusCode::BAD_GATEWAY, format!("{url}: {error}")),
            }
        }
        let is_new = id.is_none();
        let is_gone = command.method.as_deref() == Some("DELETE");
        let aggregate = self.context.aggregates.iter().find(|a| Some(&a.name) == command.aggregate.as_ref());
        let Some(aggregate) = aggregate else { return Answer::ok(json!({"asked": asked})) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = state.write(&self.context, |state| {
            let id = id.unwrap_or_else(|| state.store.fresh_id(&aggregate.name));
            let (record, mut entries) = self.change(state, aggregate, &id, fields);
            if is_gone {
                entries.retain(|entry| !matches!(entry, Entry::State { .. }));
                entries.push(self.state_of(aggregate, &id, None));
            }
            entries.extend(command.emits.iter().map(|event| self.event(state, event, &record)));
            (entries, record)
        });
        match written {
            Err(error) => Answer::wrong(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            Ok(record) => {
                let mut body = record;
                if !asked.is_empty() {
                    body.insert("asked".into(), asked.into());
                }
                let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
                Answer { status, body: body.into() }
            }
        }
    }

    /// The calls that are drawn from a command or a policy.
    fn asks(&self, name: &str, fields: &Map<String, Value>) -> Vec<(Ask, bool)> {
        let own = self.model.calls.iter().filter(|call| {
            call.kind == CallKind::Sync
                && call.from == self.context.name
                && call.via.first().is_some_and(|via| via == name)
        });
        own.filter_map(|call| {
            let to = self.model.context(&call.to)?;
            let wanted =
                [camel_id(&to.name)].into_iter().chain(to.aggregates.iter().map(|a| camel_id(&a.name)));
            let named = wanted.into_iter().find(|field| fields.contains_key(field));
            let any = || fields.keys().find(|field| is_reference(field)).cloned();
            let id = named.or_else(any).map(|field| text(fields.get(&field))).filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| "1".to_owned());
            let path = call.path.clone()?.replace("{id}", &utf8_percent_encode(&id, IN_PATH).to_string());
            let method = call.method.clone().unwrap_or_else(|| "GET".to_owned());
            let body = if method == "GET" {
                Bytes::new()
            } else {
                Bytes::from(Value::from(fields.clone()).to_string())
            };
            let authority = format!("{}:{}", to.name, to.service_port);
            let path = utf8_percent_encode(&path, CONTROLS).to_string();
            Some((Ask { method, authority, path, body }, call.fallback))
        })
        .collect()
    }

    /// A record with new fields, and the entry that says so.
    fn change(
        &self,
        state: &State,
        aggregate: &Aggregate,
        id: &str,
        fields: Map<String, Value>,
    ) -> (Map<String, Value>, Vec<Entry>) {
        let known = state.store.records.get(&aggregate.name).and_then(|records| records.get(id));
        let mut record = known.cloned().unwrap_or_else(|| blank(&aggregate.fields));
        record.extend(fields);
        let key = aggregate.key.clone().unwrap_or_else(|| "id".to_owned());
        let value = key_value(id, aggregate.fields.get(&key));
        record.insert(key, value);
        let entry = self.state_of(aggregate, id, Some(record.clone()));
        (record, vec![entry])
    }

    fn state_of(&self, aggregate: &Aggregate, id: &str, fields: Option<Map<String, Value>>) -> Entry {
        let context = self.context.name.clone();
        Entry::State { context, aggregate: aggregate.name.clone(), id: id.to_owned(), fields }
    }

    /// An event about a record, with the fields it is drawn with.
    fn event(&self, state: &mut State, name: &str, record: &Map<String, Value>) -> Entry {
        let drawn = self.context.events.iter().find(|event| event.name == name);
        let aggregate = drawn.and_then(|event| event.aggregate.clone());
        let aggregate = self.context.aggregates.iter().find(|a| Some(&a.name) == aggregate.as_ref());
        let key = aggregate.and_then(|aggregate| aggregate.key.clone()).unwrap_or_else(|| "id".to_owned());
        let own = [camel_id(&self.context.name)].into_iter().chain(aggregate.map(|a| camel_id(&a.name)));
        let mut own: Vec<String> = own.collect();
        // Under whatever name a drawing tells whom the event is about: the first that the record does not have.
        let drawn_fields = drawn.iter().flat_map(|event| event.fields.keys());
        own.extend(
            drawn_fields.filter(|field| is_reference(field) && !record.contains_key(*field)).take(1).cloned(),
        );
        let mut fields = drawn.map(|event| blank(&event.fields)).unwrap_or_default();
        for (field, value) in &mut fields {
            let source = if own.contains(field) && !record.contains_key(field) { &key } else { field };
            if let Some(known) = record.get(source) {
                *value = known.clone();
            }
        }
        state.events += 1;
        let id = format!("{}-{}-{}", self.context.name, self.seed, state.events);
        Entry::Event { id, context: self.context.name.clone(), name: name.to_owned(), fields }
    }

    /// Does what events ask of the context's policies; whether there was anything to do.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    pub async fn react(&self) -> anyhow::Result<bool> {
        let open: Vec<(Policy, String, Map<String, Value>)> = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.catch_up(&self.context)?;
            let store = &state.store;
            let wanted = self.context.policies.iter().flat_map(|policy| {
                let events = store.events.iter().filter(|(_, name, _)| policy.listens_to.contains(name));
                events.map(move |(id, _, fields)| (policy.clone(), id.clone(), fields.clone()))
            });
            wanted
                .filter(|(policy, id, _)| !store.done.contains(&(policy.name.clone(), id.clone())))
                .collect()
        };
        let has_work = !open.is_empty();
        for (policy, event, fields) in open {
            for (ask, _) in self.asks(&policy.name, &fields) {
                if let Err(error) = self.client.ask(&ask, &HeaderMap::new()).await {
                    tracing::warn!(policy = policy.name, %error, "a call is not answered");
                }
            }
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.write(&self.context, |state| {
                let mut entries = vec![Entry::Done { policy: policy.name.clone(), event: event.clone() }];
                let is_done = state.store.done.contains(&(policy.name.clone(), event.clone()));
                if is_done {
                    return (Vec::new(), ());
                }
                for emitted in &policy.emits {
                    entries.extend(self.follow(state, emitted, &fields));
                }
                (entries, ())
            })?;
        }
        Ok(has_work)
    }

    /// What comes of an event that a policy lets follow another: the record it is about, and itself.
    fn follow(&self, state: &mut State, emitted: &str, cause: &Map<String, Value>) -> Vec<Entry> {
        let drawn = self.context.events.iter().find(|event| event.name == emitted);
        let name = drawn.and_then(|event| event.aggregate.as_ref());
        let Some(aggregate) = self.context.aggregates.iter().find(|aggregate| Some(&aggregate.name) == name)
        else {
            return vec![self.event(state, emitted, cause)];
        };
        let own = [camel_id(&aggregate.name), camel_id(&self.context.name)];
        let told = own.iter().find_map(|field| cause.get(field)).map(|value| text(Some(value)));
        let records = state.store.records.get(&aggregate.name);
        // A record that came of the same thing is the one that is meant.
        let same = |record: &Map<String, Value>| {
            let first = cause.iter().find(|(field, _)| is_reference(field));
            first.is_some_and(|(field, value)| record.get(field) == Some(value))
        };
        let known =
            records.and_then(|all| all.iter().find(|(_, record)| same(record)).map(|(id, _)| id.clone()));
        let id = told
            .filter(|id| !id.is_empty())
            .or(known)
            .unwrap_or_else(|| state.store.fresh_id(&aggregate.name));
        let shared =
            cause.iter().filter(|(field, _)| aggregate.fields.contains_key(*field) && **field != "id");
        let mut fields: Map<String, Value> =
            shared.map(|(field, value)| (field.clone(), value.clone())).collect();
        if aggregate.fields.contains_key("status") {
            fields.insert("status".into(), emitted.into());
        }
        let (mut record, mut entries) = self.change(state, aggregate, &id, fields);
        for (field, value) in cause {
            record.entry(field.clone()).or_insert_with(|| value.clone());
        }
        entries.push(self.event(state, emitted, &record));
        entries
    }
}

impl State {
    fn catch_up(&mut self, context: &Context) -> std::io::Result<()> {
        let news = self.journal.news()?;
        self.store.take(context, news);
        Ok(())
    }

    /// Changes the log while nobody else does, by what it says then.
    fn write<T>(
        &mut self,
        context: &Context,
        with: impl FnOnce(&mut Self) -> (Vec<Entry>, T),
    ) -> std::io::Result<T> {
        self.journal.hold()?;
        let outcome = self.catch_up(context).and_then(|()| {
            let (entries, outcome) = with(self);
            self.journal.add(&entries)?;
            Ok(outcome)
        });
        self.journal.release()?;
        self.catch_up(context)?;
        outcome
    }

    /// A list of records, or one of them; one that is asked for before there are any is made up.
    fn aggregate(&self, aggregate: &Aggregate, path: &str) -> Option<Answer> {
        let none = std::collections::BTreeMap::new();
        let records = self.store.records.get(&aggregate.name).unwrap_or(&none);
        if path == aggregate.path {
            return Some(listed(&aggregate.path, records.values().cloned().map(Value::from).collect()));
        }
        let id = matched(&format!("{}/{{id}}", aggregate.path), path)??;
        if let Some(record) = records.get(&id) {
            return Some(Answer::ok(record.clone().into()));
        }
        if !records.is_empty() {
            return Some(Answer::wrong(
                StatusCode::NOT_FOUND,
                format!("there is no {} {id}", aggregate.name),
            ));
        }
        let mut record = blank(&aggregate.fields);
        for (field, value) in record.iter_mut().filter(|(_, value)| value.is_number()) {
            *value = if is_reference(field) { 1.into() } else { 100.into() };
        }
        let key = aggregate.key.clone().unwrap_or_else(|| "id".to_owned());
        record.insert(key.clone(), key_value(&id, aggregate.fields.get(&key)));
        Some(Answer::ok(record.into()))
    }

    fn view(&self, view: &ReadModel, path: &str) -> Option<Answer> {
        let base = view.path.as_deref()?;
        let none = std::collections::BTreeMap::new();
        let rows = self.store.rows.get(&view.name).unwrap_or(&none);
        if path == base {
            return Some(listed(base, rows.values().cloned().map(Value::from).collect()));
        }
        let id = matched(&format!("{base}/{{id}}"), path)??;
        Some(match rows.get(&id) {
            Some(row) => Answer::ok(row.clone().into()),
            None => Answer::wrong(StatusCode::NOT_FOUND, format!("there is no {} {id}", view.name)),
        })
    }
}

fn listed(path: &str, items: Vec<Value>) -> Answer {
    let name = path.trim_start_matches('/');
    Answer::ok(json!({"_embedded": {name: items}, "_links": {"self": {"href": path}}}))
}

/// The id in a path of this shape: some where there is one in it, none where it has no place.
fn matched(template: &str, path: &str) -> Option<Option<String>> {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    if wanted.len() != found.len() {
        return None;
    }
    let mut id = None;
    for (wanted, found) in wanted.iter().zip(found) {
        match *wanted {
            "{id}" if !found.is_empty() => id = Some(found.to_owned()),
            wanted if wanted == found => {}
            _ => return None,
        }
    }
    Some(id)
}

/// The field by which others name one of these: `orderId`.
fn camel_id(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}Id", characters.as_str())
}

#[cfg(test)]
mod tests;
