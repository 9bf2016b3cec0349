import Testing

/// Calls between targets are as cheap as the code says.
struct InliningTests {
    /// Swift takes `@inlinable` on a member of another type without a word, and ignores it: the member stays a call,
    /// and if it is generic it runs unspecialised.
    @Test("members that are to be inlined belong to a type that other targets may inline")
    func types() {
        var count = 0
        for source in Project.sources {
            var isUsable = true
            for (index, line) in source.lines.enumerated() {
                let words = line.split(separator: " ")
                if !line.hasPrefix(" "), words.contains(where: { ["struct", "class", "enum"].contains($0) }),
                    !line.hasPrefix("//")
                {
                    let above = index == 0 ? "" : source.lines[index - 1]
                    isUsable =
                        words.contains("public") || words.contains("@usableFromInline")
                        || above.hasPrefix("@usableFromInline")
                }
                if words.first == "@inlinable" {
                    count += 1
                    #expect(isUsable, "\(source.path):\(index + 1): the type needs @usableFromInline")
                }
            }
        }
        #expect(count > 0)
    }
}
