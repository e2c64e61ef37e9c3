use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderMap;
use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::{CallTimeout, GRPC_TIMEOUT, LONG_METHODS, header, limit, of};

#[test]
fn timeouts_are_read_in_every_unit_and_written_in_the_finest_that_fits() {
    let read = |text: &'static str| {
        let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, text.parse().unwrap())]);
        of(&headers)
    };
    assert_eq!(read("2H"), Some(Duration::from_hours(2)));
    assert_eq!(read("3M"), Some(Duration::from_mins(3)));
    assert_eq!(read("42S"), Some(Duration::from_secs(42)));
    assert_eq!(read("13m"), Some(Duration::from_millis(13)));
    assert_eq!(read("2u"), Some(Duration::from_micros(2)));
    assert_eq!(read("82n"), Some(Duration::from_nanos(82)));
    for malformed in ["", "1", "S", "999999999S", "-1S", "f1S", "1é"] {
        assert_eq!(read(malformed), None, "{malformed}");
    }
    assert_eq!(header(Duration::from_millis(1500)), "1500000u");
    assert_eq!(header(Duration::from_hours(24)), "86400000m");
    assert_eq!(header(Duration::MAX), "99999999S");
}

#[test]
fn a_call_carries_its_timeout() {
    let call = CallTimeout::new(Duration::from_secs(7)).call(());
    assert_eq!(of(call.metadata().as_ref()), Some(Duration::from_secs(7)));
}

#[test]
fn a_caller_may_ask_for_five_minutes_at_most_except_for_a_stream() {
    let (default, century) = (Duration::from_secs(30), Duration::from_hours(24 * 36_525));
    let unary = |asked| limit("/nooble.query.v1.QueryService/SearchPassages", asked, default);
    assert_eq!(unary(None), Some(default));
    assert_eq!(unary(Some(Duration::from_mins(4))), Some(Duration::from_mins(4)));
    assert_eq!(unary(Some(century)), Some(Duration::from_mins(5)));
    let wait = |asked| limit("/nooble.task.v1.TaskService/WaitTask", asked, default);
    for asked in [None, Some(century)] {
        let longest = wait(asked).unwrap();
        assert!(longest > Duration::from_mins(5) && longest < Duration::from_mins(6), "the longest wait is answered");
    }
    let stream = |asked| limit("/nooble.task.v1.TaskService/WatchTask", asked, default);
    assert_eq!((stream(None), stream(Some(century))), (None, Some(century)));
}

#[test]
fn every_stream_of_the_contract_is_a_long_method() {
    let streams: BTreeSet<String> = [proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET]
        .into_iter()
        .chain([tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET])
        .flat_map(|set| FileDescriptorSet::decode(set).unwrap().file)
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().map(move |service| (package.clone(), service))
        })
        .flat_map(|(package, service)| {
            let streams =
                |method: &&prost_types::MethodDescriptorProto| method.client_streaming() || method.server_streaming();
            let path = |method: &prost_types::MethodDescriptorProto| {
                format!("/{package}.{}/{}", service.name(), method.name())
            };
            service.method.iter().filter(streams).map(path).collect::<Vec<_>>()
        })
        .collect();
    let mut listed: BTreeSet<String> = LONG_METHODS.iter().map(|&path| path.to_owned()).collect();
    assert!(listed.remove("/nooble.task.v1.TaskService/WaitTask"), "it waits by contract");
    assert_eq!(listed, streams);
}
