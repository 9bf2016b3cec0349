import MDFormat
import Platform
import RAID

extension ArrayStore {
    /// The name of an array's export: without the host that md puts in front, and fit to be shown. An array without a name
    /// is called by the start of its UUID.
    static func name(of superblock: MDSuperblock) -> String {
        let stored = superblock.setName
        let name = stored.firstIndex(of: ":").map { String(stored[stored.index(after: $0)...]) } ?? stored
        guard !name.isEmpty else { return String(uuidText(superblock.setUUID).prefix(8)) }
        return ForeignText(name).description
    }

    /// Whether an array can be called so: what md takes for a name, with or without a host in front.
    static func checkName(_ name: String) throws(ArrayStoreError) {
        let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard !name.isEmpty, name.utf8.count <= 32, parts.allSatisfy({ !$0.isEmpty }),
            name.unicodeScalars.allSatisfy({ ForeignText.isFit($0) && $0 != "/" })
        else {
            throw ArrayStoreError(
                "\"\(name)\" cannot be an array's name; use up to 32 bytes of text without '/' and control characters, or "
                    + "HOST:NAME as md has it")
        }
    }

    /// Gives an array that nobody serves another name. Nothing else on its members changes.
    /// - Throws: also when some members have it already and others could not be written; then it is to be done again.
    package static func rename(directory: String, to name: String) throws(ArrayStoreError) {
        try checkName(name)
        let stores = try MemberDirectory.open(directory, for: .write) { _ in }
        let scan = try MemberScan(stores, place: directory)
        guard scan.changeText == nil else {
            throw ArrayStoreError(
                "a change of the shape of the array in \(directory) has not reached all members; serve it once, and then "
                    + "rename it")
        }
        // It would bring the old name back with it.
        if let absent = scan.leftOut.first(where: { $0.store.absence != nil }) {
            throw ArrayStoreError(
                "\(absent.store.name), which may be a member, is left out: \(absent.reason); bring it back first, or say "
                    + "serve --name")
        }
        let members =
            scan.members.compactMap { $0 } + scan.recovering.values + [scan.replacement?.member].compactMap { $0 }
            + scan.spares
        for member in members {
            var superblock = member.superblock
            superblock.setName = name
            try member.write(superblock)
        }
    }
}
