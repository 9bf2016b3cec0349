import Glibc
import Platform

/// The life of a remote member's thread: connect, serve, and look for the server after it is lost.
struct RemoteThread {
    let link: RemoteLink

    func run() {
        do throws(RemoteProblem) {
            let connection = try link.connect(limit: link.limits.connecting)
            link.settle(.success(connection.traits))
            guard RemoteSession(link: link, connection: connection).run() else { return }
        } catch {
            link.settle(.failure(error))
        }
        lookForServer()
    }

    /// Tries to reach the server until it answers, which is reported once, or the member is not wanted any more.
    private func lookForServer() {
        var interval = link.limits.firstRetry
        while !link.isStopping {
            sleep(milliseconds: interval)
            if link.isStopping { return }
            if let connection = try? link.connect(limit: link.limits.connecting) {
                connection.sayGoodbye(limit: 1000)
                link.report("\(link.uri) can be reached again", .notice)
                link.noteAnswer()
                return
            }
            interval = min(interval * 2, link.limits.lastRetry)
        }
    }

    /// Sleeps, but returns early when the member is not wanted any more.
    private func sleep(milliseconds: UInt64) {
        guard link.prepareToSleep() else { return }
        var polled = pollfd(fd: link.wakeupDescriptor, events: Int16(POLLIN), revents: 0)
        poll(&polled, 1, Int32(clamping: milliseconds))
        link.noteAwake(wasSignalled: polled.revents != 0)
    }
}
