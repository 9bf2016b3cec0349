import MDFormat
import Platform
import RAID

extension ArrayStore {
    /// The name of an array's export: the stored name without the host that md puts in front, made fit to be shown. An
    /// array without a name gets the first eight digits of its UUID.
    static func name(of superblock: MDSuperblock) -> String {
        let stored = superblock.setName
        let name = stored.firstIndex(of: ":").map { String(stored[stored.index(after: $0)...]) } ?? stored
        guard !name.isEmpty else { return String(uuidText(superblock.setUUID).prefix(8)) }
        return ForeignText(name).description
    }

    /// Checks that md takes a name for an array, with or without a host in front.
    static func checkName(_ name: String) throws(ArrayStoreError) {
        let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard !name.isEmpty, name.utf8.count <= 32, parts.allSatisfy({ !$0.isEmpty }),
            name.unicodeScalars.allSatisfy({ ForeignText.isFit($0) && $0 != "/" })
        else {
            throw ArrayStoreError(
                "\"\(name)\" cannot be an array's name; use up to 32 bytes of text without '/' and control characters, "
                    + "or HOST:NAME as in md")
        }
    }

    /// Renames an array that is not being served. Nothing else on its members changes.
    /// - Throws: also when some members have the new name and others could not be written. Then the call has to be
    ///   repeated.
    package static func rename(directory: String, to name: String) throws(ArrayStoreError) {
        try checkName(name)
        let stores = try MemberDirectory.open(directory, for: .write) { _, _ in }
        let scan = try MemberScan(stores, directory: directory)
        guard scan.changeText == nil else {
            throw ArrayStoreError(
                "a change of the shape of the array in \(directory) has not reached all members; serve it once, and "
                    + "then rename it")
        }
        // An absent member would bring the old name back with it.
        if let absent = scan.leftOut.first(where: { $0.store.absence != nil }) {
            throw ArrayStoreError(
                "\(absent.store.name), which may be a member, is left out: \(absent.reason); bring it back first, or "
                    + "use serve --name")
        }
        var members = scan.members.compactMap { $0 } + scan.recovering.values + scan.spares
        if let replacement = scan.replacement { members.append(replacement.member) }
        for member in members {
            var superblock = member.superblock
            superblock.setName = name
            try member.write(superblock)
        }
    }
}
