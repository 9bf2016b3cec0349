import Foundation
import NBDServer
import Platform
import Synchronization
import TestSupport
import TestTraits
import Testing

@Suite("A Unix socket's path", .blocks)
struct ListenerTests {
    private let directory = TemporaryDirectory()

    @Test("a file that is no socket is left alone, and so is what a link leads to")
    func otherFiles() throws {
        let file = directory.path + "/precious"
        try Data("content".utf8).write(to: URL(fileURLWithPath: file))
        let link = directory.path + "/link"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
        for path in [file, link, directory.path] {
            let error = #expect(throws: OperationError.self) { _ = try Listener(.unix(path: path)) }
            #expect(error?.description == "\(path) exists and is not a socket; choose another path")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: link)) == Data("content".utf8))
    }

    @Test("a socket that nobody listens on is replaced, and one that somebody listens on is not")
    func sockets() throws {
        let path = directory.path + "/socket"
        let first = try Listener(.unix(path: path))
        let error = #expect(throws: OperationError.self) { _ = try Listener(.unix(path: path)) }
        #expect(error?.description.contains("is in use; choose another path") == true)
        // As a server that is killed does.
        close(first.descriptors[0])
        let second = try Listener(.unix(path: path))
        second.close()
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("a server that ends leaves another one's socket alone")
    func foreignSocket() throws {
        let path = directory.path + "/socket"
        let first = try Listener(.unix(path: path))
        try FileManager.default.removeItem(atPath: path)
        let second = try Listener(.unix(path: path))
        first.close()
        #expect(FileManager.default.fileExists(atPath: path))
        second.close()
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("of servers that begin together where a dead one left its socket, one has it")
    func together() throws {
        let path = directory.path + "/socket"
        for _ in 0..<20 {
            close(try Listener(.unix(path: path)).descriptors[0])
            let listeners = Mutex<[Listener]>([])
            let threads = try (0..<4).map { index in
                try Joined {
                    if let listener = try? Listener(.unix(path: path)) { listeners.withLock { $0.append(listener) } }
                }
            }
            for thread in threads { thread.join() }
            let found = listeners.withLock { $0 }
            #expect(found.count == 1)
            #expect(canConnect(to: path))
            for listener in found { listener.close() }
        }
    }

    /// A thread that is waited for.
    private final class Joined: Sendable {
        private let ended = OneShotEvent()
        init(_ body: @escaping @Sendable () -> Void) throws {
            try OSThread(name: "listener") { [ended] in
                body()
                ended.set()
            }.detach()
        }
        func join() { ended.wait() }
    }

    private func canConnect(to path: String) -> Bool {
        guard let descriptor = try? UnixSocket.connect(to: path) else { return false }
        close(descriptor)
        return true
    }

    @Test("a directory that is not there is named as the reason")
    func noDirectory() throws {
        let error = #expect(throws: OperationError.self) { _ = try Listener(.unix(path: "/nonexistent/socket")) }
        #expect(
            error?.description
                == "cannot listen on /nonexistent/socket: No such file or directory; make its directory, or choose "
                + "another path")
    }
}
