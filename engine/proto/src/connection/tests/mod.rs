//! Tests.
use super::*;
#[test]
fn sizes() {
    extern crate std;
    std::println!("conn {} sync {} synsent {} sender {} recv {} settings {} rtt {} recovery {} reno {} timers {} limit {} clock {} persist {} tw {}", size_of::<Connection>(), size_of::<Synchronised>(), size_of::<SynSent>(), size_of::<sender::Sender>(), size_of::<receiver::Receiver>(), size_of::<Settings>(), size_of::<rtt::Rtt>(), size_of::<recovery::Recovery>(), size_of::<congestion::Reno>(), size_of::<timers::Timers>(), size_of::<answer_limit::AnswerLimit>(), size_of::<timestamps::TimestampClock>(), size_of::<persist::Persist>(), size_of::<TimeWait>());
}
