use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::*;

/// A watch that is fed by hand. Its Events go nowhere: nothing listens on that port.
fn pump() -> (Pump<ConfigMap>, mpsc::UnboundedReceiver<Touched<ConfigMap>>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let (store, writer) = reflector::store();
    let (sender, receiver) = mpsc::unbounded_channel();
    let watch = Watch {
        store,
        subscribers: Arc::new(Mutex::new(vec![sender])),
    };
    let events = Arc::new(Events::new(client, "test".to_owned()));
    let pump = Pump {
        watch,
        writer,
        events,
        listed: Vec::new(),
    };
    (pump, receiver)
}

type Guard = DeserializeGuard<ConfigMap>;

fn object(name: &str, version: &str) -> Guard {
    let metadata = json!({"name": name, "namespace": "demo", "resourceVersion": version});
    serde_json::from_value(json!({ "metadata": metadata })).unwrap()
}

fn malformed(name: &str) -> Guard {
    let metadata = json!({"name": name, "namespace": "demo", "resourceVersion": "9"});
    serde_json::from_value(json!({ "metadata": metadata, "data": "not a map" })).unwrap()
}

async fn feed(pump: &mut Pump<ConfigMap>, events: Vec<Event<Guard>>) {
    for event in events {
        pump.take(event, |guard| guard.0.map_err(Box::new)).await;
    }
}

fn seen(receiver: &mut mpsc::UnboundedReceiver<Touched<ConfigMap>>) -> Vec<String> {
    let mut seen = Vec::new();
    while let Ok(touched) = receiver.try_recv() {
        let sign = if touched.gone { "-" } else { "+" };
        seen.push(format!("{sign}{}", touched.object.name_any()));
    }
    seen.sort();
    seen
}

#[tokio::test]
async fn a_malformed_object_is_left_out_and_its_last_good_version_is_not_acted_upon() {
    let (mut pump, mut receiver) = pump();
    let listing = vec![
        Event::Init,
        Event::InitApply(object("good", "1")),
        Event::InitApply(malformed("bad")),
        Event::InitDone,
    ];
    feed(&mut pump, listing).await;
    assert_eq!(seen(&mut receiver), ["+good"]);
    assert!(pump.watch.get("demo", "bad").is_none());
    feed(&mut pump, vec![Event::Apply(malformed("good"))]).await;
    assert_eq!(seen(&mut receiver), ["-good"]);
    assert!(pump.watch.get("demo", "good").is_none());
    feed(&mut pump, vec![Event::Apply(object("good", "3"))]).await;
    assert_eq!(seen(&mut receiver), ["+good"]);
    feed(
        &mut pump,
        vec![
            Event::Delete(malformed("bad")),
            Event::Delete(object("good", "4")),
        ],
    )
    .await;
    assert_eq!(seen(&mut receiver), ["-good"]);
}

#[tokio::test]
async fn a_watch_that_starts_anew_wakes_only_what_changed_meanwhile() {
    let (mut pump, mut receiver) = pump();
    let listing = |objects: Vec<Guard>| {
        let mut events = vec![Event::Init];
        events.extend(objects.into_iter().map(Event::InitApply));
        events.push(Event::InitDone);
        events
    };
    let first = vec![
        object("same", "1"),
        object("changed", "1"),
        object("gone", "1"),
    ];
    feed(&mut pump, listing(first)).await;
    assert_eq!(seen(&mut receiver), ["+changed", "+gone", "+same"]);
    let second = vec![
        object("same", "1"),
        object("changed", "2"),
        object("new", "3"),
    ];
    feed(&mut pump, listing(second)).await;
    assert_eq!(seen(&mut receiver), ["+changed", "+new", "-gone"]);
}

#[tokio::test]
async fn a_subscriber_gets_what_is_there_and_then_what_comes() {
    let (mut pump, _) = pump();
    feed(
        &mut pump,
        vec![
            Event::Init,
            Event::InitApply(object("one", "1")),
            Event::InitDone,
        ],
    )
    .await;
    let mut touched = Box::pin(pump.watch.touched());
    feed(&mut pump, vec![Event::Apply(object("two", "2"))]).await;
    let names = [touched.next().await, touched.next().await]
        .map(|touched| touched.unwrap().object.name_any());
    assert_eq!(names, ["one", "two"]);
}
