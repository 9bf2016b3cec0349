import Foundation
import Platform
import TestTraits

/// A program that a test has started. It is killed when nobody keeps it any more.
final class Program: Sendable {
    struct Failure: Error {
        var text: String
    }

    private let process = Process()
    private let keptOutput: KeptText
    private let keptErrors: KeptText

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - program: a path, or a name that is found as a shell finds it.
    ///   - output: where standard output goes; nil for `output`.
    ///   - errors: where standard error goes; nil for `errors`.
    ///   - environment: what differs from the test's own.
    ///   - directory: where it runs; nil for the test's own.
    init(
        _ program: String, _ arguments: [String], input: FileHandle = .nullDevice, output: FileHandle? = nil,
        errors: FileHandle? = nil, environment: [String: String] = [:], directory: String? = nil
    ) throws {
        (keptOutput, keptErrors) = (try KeptText(), try KeptText())
        process.executableURL = URL(fileURLWithPath: try Shell.path(of: program))
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output ?? keptOutput.handle
        process.standardError = errors ?? keptErrors.handle
        process.environment = ProcessInfo.processInfo.environment.merging(["XDG_CACHE_HOME": testCaches]) { $1 }
            .merging(environment) { $1 }
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        try process.run()
    }

    deinit { if isRunning { stop(by: SIGKILL) } }

    var identifier: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    /// What it has written to standard output so far.
    var output: String { keptOutput.text }
    /// What it has written to standard error so far.
    var errors: String { keptErrors.text }
    /// Both.
    var said: String { output + errors }

    /// Waits until it has written a text.
    func waitFor(_ text: String) throws {
        var hasEnded = false
        let isSaid = eventually(everyMilliseconds: 5) {
            if hasEnded { return true }
            // What it wrote before its end counts.
            hasEnded = !isRunning
            return said.contains(text)
        }
        guard isSaid, said.contains(text) else { throw Failure(text: "no \"\(text)\" in what it said: \(said)") }
    }

    func signal(_ number: Int32) { if isRunning { kill(identifier, number) } }

    /// Waits for its end.
    ///
    /// - Returns: its exit status, or 1000 more than the signal that ended it.
    @discardableResult
    func wait() -> Int32 {
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : 1000 + process.terminationStatus
    }

    /// Sends it a signal that ends it.
    ///
    /// - Returns: as `wait`.
    @discardableResult
    func stop(by number: Int32 = SIGTERM) -> Int32 {
        signal(number)
        return wait()
    }
}

/// A file without a name that a program writes to, and that can be read at any time.
private struct KeptText: Sendable {
    let handle: FileHandle

    init() throws {
        guard let file = tmpfile() else { throw OSError(code: errno, doing: "make a temporary file") }
        defer { fclose(file) }
        handle = FileHandle(fileDescriptor: fcntl(fileno(file), F_DUPFD_CLOEXEC, 3), closeOnDealloc: true)
    }

    var text: String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while case let count = pread(handle.fileDescriptor, &piece, piece.count, off_t(bytes.count)), count > 0 {
            bytes += piece[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
