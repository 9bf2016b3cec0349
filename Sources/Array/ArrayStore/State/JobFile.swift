import Glibc
import MDFormat
import Platform
import RAID

/// Keeps the progress of a check or a repair in the array's directory, since md's superblocks have no field for it. It
/// is a hidden text file and not a member. Without it a job begins anew, and nothing else depends on it.
///
///     nbdext job 1
///     array 5e0f...                 the set's UUID, 32 hexadecimal digits
///     check 1048576 8192            the job, its position, and bytes of wrong parity below that
///     wrong 65536 69632             where the first ones are; one line, also if there are none
///
/// Threads: one at a time.
package struct JobFile: Sendable {
    private static let heading = "nbdext job 1"
    private static let byteCountMax = 4096
    private static let name = ".nbdext-job"

    private let directory: String
    private let uuid: String
    private var path: String { "\(directory)/\(Self.name)" }

    init(directory: String, uuid: [UInt8]) {
        self.directory = directory
        self.uuid = ArrayStore.uuidText(uuid).filter { $0 != ":" }
    }

    /// - Returns: nil when there is no valid record for this array.
    func read(_ geometry: ArrayGeometry) -> MaintenanceRecord? {
        // The name may belong to a FIFO or a link instead.
        let descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.byteCountMax)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return Self.parse(String(decoding: bytes[..<count], as: UTF8.self), uuid: uuid, geometry)
    }

    /// - Returns: nil for a text that belongs to another array, or is impossible for its shape.
    package static func parse(_ text: String, uuid: String, _ geometry: ArrayGeometry) -> MaintenanceRecord? {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        guard lines.count == 4, lines[0].joined(separator: " ") == heading, lines[1] == ["array", uuid],
            lines[2].count == 3, let job = MaintenanceSchedule.Job(rawValue: lines[2][0]),
            let position = UInt64(lines[2][1]), let wrong = UInt64(lines[2][2]), lines[3].first == "wrong"
        else { return nil }
        let places = lines[3].dropFirst().compactMap { UInt64($0) }
        guard places.count == lines[3].count - 1 else { return nil }
        let record = MaintenanceRecord(job: job, position: position, wrongByteCount: wrong, wrongPlaces: places)
        return record.isPossible(in: geometry) ? record : nil
    }

    /// Replaces the previous record, durably and atomically.
    func write(_ record: MaintenanceRecord) throws(ArrayStoreError) {
        let places = record.wrongPlaces.map { " \($0)" }.joined()
        let text = """
            \(Self.heading)
            array \(uuid)
            \(record.job.rawValue) \(record.position) \(record.wrongByteCount)
            wrong\(places)

            """
        let temporary = Self.name + ".new"
        do throws(OSError) {
            let directory = try OpenDirectory(directory)
            let descriptor = try directory.makeTemporary(temporary)
            defer { close(descriptor) }
            let bytes = Array(text.utf8)
            do throws(OSError) {
                guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fdatasync(descriptor) == 0 else {
                    throw OSError(code: errno, doing: "write \(path)")
                }
                try directory.rename(temporary, to: Self.name)
            } catch {
                directory.remove(temporary)
                throw error
            }
            directory.flush()
        } catch { throw ArrayStoreError("\(error); a check starts over if the server is restarted") }
    }

    func remove() { unlink(path) }
}
