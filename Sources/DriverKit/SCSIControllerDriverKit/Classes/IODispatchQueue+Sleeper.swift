import Platform

extension IODispatchQueue {
    /// A thread that has left the queue and waits for an event.
    struct Sleeper {
        /// An address that stands for the event.
        var event: UnsafeRawPointer
        var woken = OneShotEvent()
    }
}
