import CLinux
import Glibc

/// A running thread of the operating system. It must be joined exactly once.
package struct OSThread: ~Copyable, Sendable {
    fileprivate let handle: pthread_t

    /// Starts a thread that runs `body`.
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

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }
}

extension OSThread {
    /// Lets the thread run on by itself; nobody will join it.
    package consuming func detach() {
        pthread_detach(handle)
    }
}

/// A number that tells threads apart; never 0.
package func currentThreadID() -> UInt { UInt(pthread_self()) }
