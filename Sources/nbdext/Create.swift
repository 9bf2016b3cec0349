import ArgumentParser
import ArrayStore
import RAID

/// `nbdext create`.
struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes an array of sparse member files.",
        discussion: """
            The array is usable at once: members of zeros have consistent parity. Its size is rounded up to whole \
            stripes.

            EXAMPLE
              nbdext create /srv/disks/a --level 5 --members 4 --size 10G --chunk 64K
            """)

    @Argument(help: "The directory for the member files; made if it does not exist.")
    var directory: String

    @Option(help: "0 (striping, no redundancy, from 2 members) or 5 (one member may fail, from 3 members).")
    var level: Int32

    @Option(help: "How many member files.")
    var members: Int

    @Option(help: "The array's size: 64M, 10G, 1.5T.")
    var size: ByteSize

    @Option(help: "Bytes that lie together on a member: a power of two from 4K to 64M.")
    var chunk = ByteSize(byteCount: 64 << 10)

    @Option(help: "The array's and the export's name (default: the directory's).")
    var name: String?

    @Option(
        help: """
            How a RAID 5 array's parity is made right after a crash: resync (all of it is checked), bitmap (only what \
            was written lately), ppl (from logs, also when a member is lost in the crash).
            """)
    var consistency = ArrayConsistency.resync

    @Flag(help: "Overwrite an array that is there.")
    var force = false

    func run() throws {
        guard let level = RAIDLevel(rawValue: level) else {
            throw ValidationError("RAID level \(level) is not supported; say --level 0 or --level 5")
        }
        let plan = ArrayStore.Plan(
            level: level, memberCount: members, byteCount: size.byteCount,
            chunkByteCount: Int(clamping: chunk.byteCount), name: name ?? Self.defaultName(directory),
            consistency: consistency)
        let array = try ArrayStore.create(directory: directory, plan: plan, force: force)
        print(array.text(directory: directory))
    }

    /// The last part of a path, as far as it can be a name.
    private static func defaultName(_ directory: String) -> String {
        let last = directory.split(separator: "/").last.map(String.init) ?? ""
        return last.isEmpty || last.allSatisfy({ $0 == "." }) ? "array" : last
    }
}

extension ArrayConsistency: ExpressibleByArgument {}
