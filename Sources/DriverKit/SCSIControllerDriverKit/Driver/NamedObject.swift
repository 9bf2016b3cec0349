import Platform

/// An object of a class of another language that is no service, or a container: a name, a reference count, queues.
///
/// Threads: any.
package final class NamedObject: OSObject, @unchecked Sendable {
    // SAFETY: static text of the other language's library.
    /// The class's name.
    package nonisolated(unsafe) let className: UnsafePointer<CChar>
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) var queues: [String: IODispatchQueue] = [:]

    package init(className: UnsafePointer<CChar>) {
        self.className = className
        super.init()
    }

    /// Binds a name to a queue, and retains it.
    /// - Returns: the queue that had the name, whose reference the caller gives back.
    package func setQueue(_ name: String, _ queue: IODispatchQueue) -> IODispatchQueue? {
        queue.retain()
        return lock.withLock { queues.updateValue(queue, forKey: name) }
    }

    /// The queue of that name, without another reference.
    package func queue(named name: String) -> IODispatchQueue? { lock.withLock { queues[name] } }
}
