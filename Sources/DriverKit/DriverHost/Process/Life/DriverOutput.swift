import CLinux
import Glibc
import Platform

/// The output of a driver's process, on its way to standard error. It passes a pipe, so that the driver has neither the
/// server's terminal nor its log file.
///
/// Threads: one of its own, which ends with the last process that has the other end.
final class DriverOutput: Sendable {
    private static let byteCountMax = 4096
    private let ended = OneShotEvent()

    /// - Returns: the output, and the process's end of the pipe, which the caller closes.
    /// - Throws: when the system has no pipe or no thread.
    static func make() throws(OSError) -> (output: DriverOutput, end: Int32) {
        var ends: [Int32] = [0, 0]
        let status = nbdext_pipe(&ends)
        guard status >= 0 else { throw OSError(code: -status, doing: "make a pipe") }
        let (source, output) = (ends[0], DriverOutput())
        do throws(OSError) {
            try OSThread(name: "driver output") {
                output.forward(source)
                close(source)
                output.ended.set()
            }.detach()
        } catch {
            for end in ends { close(end) }
            throw error
        }
        return (output, ends[1])
    }

    /// Waits until the rest of the process's output is printed, for a second at most.
    func finish() { _ = ended.wait(milliseconds: 1000) }

    /// Forwards whole lines, so that other writers' lines do not come in between.
    private func forward(_ source: Int32) {
        var line: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: Self.byteCountMax)
        while true {
            let count = read(source, &piece, piece.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            line += piece[..<count]
            let end = line.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
            guard let end = end ?? (line.count >= Self.byteCountMax ? line.count : nil) else { continue }
            write(line[..<end])
            line.removeFirst(end)
        }
        if !line.isEmpty { write(line[...]) }
    }

    private func write(_ bytes: ArraySlice<UInt8>) { writeDiagnostic(String(decoding: bytes, as: UTF8.self)) }
}
