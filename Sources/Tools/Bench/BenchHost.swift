import Glibc
import Platform

/// The machine that a comparison runs on.
package enum BenchHost {
    /// The processor, the number of processors, and the system: "AMD EPYC, 2 processors, Linux 6.1".
    package static var machine: String {
        let model = TextFile.read("/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        let processor = model?.split(separator: ":").last.map { String($0.drop { $0 == " " }) } ?? "unknown processor"
        let release = TextFile.read("/proc/sys/kernel/osrelease").filter { $0 != "\n" }
        return "\(processor), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) processors, Linux \(release)"
    }

    /// The load of the last minute, as /proc/loadavg has it.
    package static var loadAverage: String {
        TextFile.read("/proc/loadavg").split(separator: " ").first.map(String.init) ?? "unknown"
    }

    /// The directory for temporary files: `TMPDIR`, or /tmp.
    package static var temporaryDirectory: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }
}
