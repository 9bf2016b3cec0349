import Glibc
import LoadGenerator
import Platform

/// Runs fio's nbd engine, as a check of the load generator.
package struct FioCheck {
    /// The figures of one run of fio.
    struct Figures {
        var operationsPerSecond: Double
        var clientNanoseconds: Double
    }

    /// Positions of fields in fio's terse output, version 3. Processor time is in percent of the run.
    private enum Field {
        static let readOperationsPerSecond = 7
        static let userPercent = 87
        static let systemPercent = 88
    }

    private let path: String
    /// fio's name and version: "fio-3.33".
    let program: String

    /// Looks for fio in `PATH`.
    ///
    /// - Throws: `OperationError` when fio is not there, or has no nbd engine.
    package init() throws {
        guard let path = ChildProcess.find("fio") else {
            throw OperationError("--fio needs fio, which is not installed")
        }
        self.path = path
        let engines = try ChildProcess.run([path, "--enghelp"]).output
        guard engines.split(whereSeparator: { $0.isWhitespace }).contains("nbd") else {
            throw OperationError("--fio needs fio's nbd engine, which \(path) was built without")
        }
        let version = try ChildProcess.run([path, "--version"]).output
        program = String(version.prefix { !$0.isNewline })
    }

    /// Runs one random read load.
    func run(socket: String, workload: Workload, load: LoadDepth, seconds: Double) throws -> Figures {
        let milliseconds = Int(seconds * 1000)
        let output = try ChildProcess.run([
            path, "--name=check", "--ioengine=nbd", "--uri=nbd+unix:///?socket=\(socket)", "--rw=randread",
            "--bs=\(workload.blockByteCount)", "--iodepth=\(load.depth)", "--numjobs=\(load.connectionCount)",
            "--norandommap", "--randrepeat=0", "--time_based", "--runtime=\(milliseconds)ms", "--group_reporting",
            "--output-format=terse", "--terse-version=3",
        ]).output
        let lines = output.split(separator: "\n").map {
            $0.split(separator: ";", omittingEmptySubsequences: false).map(String.init)
        }
        func number(_ fields: [String], _ index: Int) -> Double? { Double(fields[index].filter { $0 != "%" }) }
        guard let fields = lines.first(where: { $0.count > Field.systemPercent }),
            let rate = number(fields, Field.readOperationsPerSecond), rate > 0,
            let user = number(fields, Field.userPercent), let system = number(fields, Field.systemPercent)
        else { throw OperationError("fio failed: \(output)") }
        return Figures(
            operationsPerSecond: rate,
            clientNanoseconds: (user + system) / 100 * Double(load.connectionCount) * 1e9 / rate)
    }
}
