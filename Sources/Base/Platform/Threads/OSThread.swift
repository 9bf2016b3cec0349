import CLinux
import Glibc

/// A running thread of the operating system, to be joined or detached exactly once.
package struct OSThread: ~Copyable, Sendable {
    fileprivate let handle: pthread_t

    /// Starts a thread that runs `body`. It may use any processor, even when the calling thread is bound to some.
    ///
    /// - Parameters:
    ///   - name: shown by `ps -L` and `perf`; cut to 15 bytes.
    ///   - body: runs once on the new thread.
    /// - Throws: the errno of `pthread_create` (EAGAIN when the system has no room for a thread).
    package init(name: String, _ body: @escaping @Sendable () -> Void) throws(OSError) {
        let box = Unmanaged.passRetained(Body(name: name, run: body))
        var handle = pthread_t()
        let status = pthread_create(
            &handle, nil,
            { context in
                let body = Unmanaged<Body>.fromOpaque(context!).takeRetainedValue()
                nbdext_name_thread(body.name)
                if var processors = body.processors { nbdext_release_thread(&processors) }
                body.run()
                return nil
            }, box.toOpaque())
        guard status == 0 else {
            box.release()
            throw OSError(code: status, doing: "start a thread")
        }
        self.handle = handle
    }

    /// Waits until the thread's body has returned.
    package consuming func join() {
        pthread_join(handle, nil)
    }

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void
        /// The calling thread's processors before it was bound; nil when it is not bound.
        let processors: cpu_set_t?

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
            var processors = cpu_set_t()
            self.processors = nbdext_unbound_processors(&processors) != 0 ? processors : nil
        }
    }
}

extension OSThread {
    /// Lets the thread run to its end without a join.
    package consuming func detach() {
        pthread_detach(handle)
    }
}

/// The calling thread's ID in the system, unique among running threads; never 0.
package func currentThreadID() -> UInt { UInt(nbdext_thread_id()) }
