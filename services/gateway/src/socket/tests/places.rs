use std::net::IpAddr;
use std::time::{Duration, Instant};

use action::TenantId;

use crate::places::Full;
use crate::socket::drain::Sockets;

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// A stranger's address, another one each time that the number is.
fn from(number: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()])
}

#[test]
fn a_tenant_has_at_most_half_of_the_places() {
    let sockets = Sockets::new(5);
    let own: Vec<_> = (0..3).map(|_| sockets.enter(&tenant("tenant-1")).unwrap()).collect();
    assert_eq!(sockets.enter(&tenant("tenant-1")).unwrap_err(), Full::Tenant(3));
    let _other = sockets.enter(&tenant("tenant-2")).unwrap();
    let last = sockets.enter(&tenant("tenant-3")).unwrap();
    assert_eq!(sockets.enter(&tenant("tenant-4")).unwrap_err(), Full::Process(5));
    assert_eq!(sockets.open(), 5);
    drop((own, last));
    assert_eq!(sockets.open(), 1, "refusals took nothing");
    let mut again = sockets.enter(&tenant("tenant-1")).unwrap();
    again.leave();
    assert_eq!(sockets.open(), 1, "a place is given back before its socket has ended");
}

#[test]
fn strangers_take_no_place_of_a_tenant_until_they_prove_to_be_one() {
    let sockets = Sockets::new(100);
    let mut strangers: Vec<_> = (0..10).map(|number| sockets.knock(from(number)).unwrap()).collect();
    assert_eq!(sockets.knock(from(20)).unwrap_err(), Full::Strangers(10));
    assert_eq!(sockets.open(), 0);
    let mut one = strangers.pop().unwrap();
    sockets.proved(&mut one, &tenant("tenant-1")).unwrap();
    sockets.proved(&mut one, &tenant("tenant-1")).unwrap();
    assert_eq!(sockets.open(), 1);
    strangers.push(sockets.knock(from(20)).expect("the place before the door is free again"));
    strangers[0].leave();
    assert_eq!(
        sockets.knock(from(21)).unwrap_err(),
        Full::Strangers(10),
        "a stranger stays one until the socket has ended"
    );
    drop(one);
    assert_eq!(sockets.open(), 0);
}

#[test]
fn one_address_has_half_of_the_places_of_strangers_and_gives_them_back() {
    let sockets = Sockets::new(100);
    let one = || sockets.knock(from(1));
    let held: Vec<_> = (0..5).map(|_| one().unwrap()).collect();
    assert_eq!(one().unwrap_err(), Full::Address(5));
    let _other = sockets.knock(from(2)).unwrap();
    drop(held);
    one().unwrap();
}

#[test]
fn a_stranger_for_whom_there_is_no_place_stays_outside() {
    let sockets = Sockets::new(1);
    let seated = sockets.enter(&tenant("tenant-1")).unwrap();
    let mut stranger = sockets.knock(from(1)).unwrap();
    assert_eq!(sockets.proved(&mut stranger, &tenant("tenant-2")).unwrap_err(), Full::Process(1));
    drop(seated);
    sockets.proved(&mut stranger, &tenant("tenant-2")).unwrap();
}

#[test]
fn there_are_four_places_for_strangers_of_an_address_unless_there_are_fewer_in_all_and_twice_as_many_for_all_of_them() {
    let strangers = |most: usize, addresses: usize| {
        let sockets = Sockets::new(most);
        (0..).map_while(|number| sockets.knock(from(number % addresses)).ok()).collect::<Vec<_>>().len()
    };
    assert_eq!([0, 1, 20, 1000].map(|most| strangers(most, 1)), [0, 1, 4, 50]);
    assert_eq!([0, 1, 20, 1000].map(|most| strangers(most, 200)), [0, 2, 8, 100]);
}

#[tokio::test]
async fn sockets_of_a_process_that_ends_are_closed_one_after_another() {
    let sockets = Sockets::new(600);
    let _places: Vec<_> = (0..300).map(|_| sockets.enter(&tenant("tenant-1")).unwrap()).collect();
    let begun = Instant::now();
    sockets.close();
    let closed = (0..300).map(|_| async {
        sockets.farewell().await;
        begun.elapsed()
    });
    let mut closed = futures::future::join_all(closed).await;
    closed.sort_unstable();
    // Two milliseconds for each of them; a machine that is slow spreads them more.
    assert!(closed[150] > closed[0] + Duration::from_millis(100), "{closed:?}");
    assert!(closed[299] > closed[150] + Duration::from_millis(100), "{closed:?}");
}
