import Foundation
import TestTraits
import Testing

/// A way to the driver, and the names of its calls.
struct TracedRoute: CustomTestStringConvertible, Sendable {
    var mode: String
    var format: String
    var submission: String
    var completion: String
    /// The first tasks of a driver's life go this way, whatever the mode is: bundles begin with its third task.
    var firstSubmission: String
    var firstCompletion: String
    var testDescription: String { "\(mode), \(format)" }

    static let all = ["text", "json"].flatMap { format in
        [
            TracedRoute(
                mode: "bundled", format: format, submission: "UserProcessBundledParallelTasks",
                completion: "BundledParallelTaskCompletion", firstSubmission: "UserProcessParallelTask",
                firstCompletion: "ParallelTaskCompletion"),
            TracedRoute(
                mode: "legacy", format: format, submission: "UserProcessParallelTask",
                completion: "ParallelTaskCompletion", firstSubmission: "UserProcessParallelTask",
                firstCompletion: "ParallelTaskCompletion"),
            TracedRoute(
                mode: "kext", format: format, submission: "ProcessParallelTask", completion: "CompleteParallelTask",
                firstSubmission: "ProcessParallelTask", firstCompletion: "CompleteParallelTask"),
        ]
    }
}

@Suite("The driver's log", .serialized, .blocks, .slow, .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"))
struct TraceTests {
    /// Every task that went to the driver came back, with the same slot and ID, by the same way, in between once.
    private func check(_ lines: [TraceLine], _ route: TracedRoute) {
        var open: [Int: TraceLine] = [:]
        var submissions = 0
        for line in lines {
            if line.isSubmission {
                submissions += 1
                #expect(line.call == (submissions <= 2 ? route.firstSubmission : route.submission), "\(line)")
                #expect(open.updateValue(line, forKey: line.slot) == nil, "slot \(line.slot) was in use")
                // Six, ten, twelve or sixteen bytes; an IOMMU joins them to one segment.
                #expect([6, 10, 12, 16].contains(line.cdb.split(separator: " ").count), "\(line)")
                #expect(line.segmentCount == (line.byteCount > 0 ? 1 : 0), "\(line)")
            } else {
                let begun = open.removeValue(forKey: line.slot)
                #expect(begun?.task == line.task, "\(line)")
                let isFirst = begun?.call == route.firstSubmission
                #expect(line.call == (isFirst ? route.firstCompletion : route.completion), "\(line)")
                #expect(line.serviceResponse == 2 && line.status == 0, "\(line)")
                #expect(line.byteCount <= begun?.byteCount ?? 0, "\(line)")
            }
        }
        #expect(open.isEmpty)
    }

    @Test("every line says which call it was, in every mode", arguments: TracedRoute.all)
    func lines(route: TracedRoute) throws {
        let array = try ServedArray(level: 5, members: 3, size: "4M", options: ["--mode", route.mode])
        try array.start(["--trace", array.tracePath, "--trace-format", route.format])
        try array.qemuIO("write -P 3 4k 8k", "aio_write -P 4 1M 64k", "aio_write -P 5 2M 64k", "aio_flush")
        try array.qemuIO("read -P 3 4k 8k")
        #expect(array.stop() == 0)
        let log = try String(contentsOfFile: array.tracePath, encoding: .utf8)
        let lines = try TraceLine.lines(of: log, format: route.format)
        check(lines, route)

        #expect(lines.prefix(1).map(\.operation) == ["TEST UNIT READY"])
        // The client asks for write-through, so its writes carry FUA.
        let transfers = lines.filter(\.isTransfer)
        #expect(
            Set(transfers.map { "\($0.operation) \($0.cdb) \($0.byteCount)" }) == [
                "WRITE(10) 2a 08 00 00 00 08 00 00 10 00 8192", "WRITE(10) 2a 08 00 00 08 00 00 00 80 00 65536",
                "WRITE(10) 2a 08 00 00 10 00 00 00 80 00 65536", "READ(10) 28 00 00 00 00 08 00 00 10 00 8192",
            ])
        #expect(transfers.count == 4)
    }

    @Test("the log can go to standard output, between the server's own lines")
    func standardOutput() throws {
        let array = try ServedArray(level: 5, members: 3, size: "4M")
        let server = try Program(
            nbdext, ["serve", array.arrayPath, "--socket", array.socket, "--trace", "-", "--trace-format", "json"])
        try server.waitFor("ready: ")
        try array.qemuIO("read 0 4k")
        server.stop()
        let lines = server.output.split(separator: "\n")
        #expect(lines.filter { $0.hasPrefix("ready: ") }.count == 1)
        let traced = try lines.filter { !$0.hasPrefix("ready: ") }.map { try TraceLine(json: String($0)) }
        #expect(traced.filter(\.isTransfer).map(\.cdb) == ["28 00 00 00 00 00 00 00 08 00"])
    }

    @Test("a log that cannot be opened is refused")
    func unwritable() throws {
        let array = try ServedArray(level: 5, members: 3, size: "4M")
        let result = try Shell.run(
            "timeout",
            [
                "\(Needs.hangMinutes)m", nbdext, "serve", array.arrayPath, "--socket", array.socket, "--trace",
                "/nonesuch/trace",
            ])
        #expect(result.status != 0 && result.status != 124)
        #expect(result.errors.contains("cannot write to /nonesuch/trace"), "\(result.errors)")
    }
}
