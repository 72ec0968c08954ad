# git: many short processes, locks, renames, mapped packs.
#% case: git
#% needs: git
#% timeout: 120
#% loose: index
#% loose: .git/objects/pack/
#% loose: .git/objects/info/
#% loose: ORIG_HEAD
#% loose: .git/logs
#% filter: s/^(Receiving|Resolving|Compressing|Counting|Writing|Enumerating).*$//
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1
git init -q -b main r; cd r || exit; git config gc.auto 0
for i in 1 2 3 4 5 6; do seq 1 $((i * 500)) >"f$i"; git add "f$i"; git commit -q -m "commit $i"; done; git log --oneline --stat | cat
git checkout -q -b side HEAD~3; echo side >side; sed -i 1s/1/one/ f1; git add .; git commit -q -m side; git rebase main 2>/dev/null; git log --oneline --graph --all | cat; git diff HEAD~2 --stat | cat
git checkout -q main; git merge -q --no-ff side -m merge; git status --short; echo dirty >>f2; git status --short; git stash -q; git stash pop -q; git diff | cat; git checkout -q -- f2
git gc -q; git fsck --strict 2>&1; git count-objects -v | grep -E 'count|packs'; cd ..; git clone -q r c; cd c || exit; git log --oneline | wc -l; git blame f1 | head -2; git grep -c 499 | cat; git tag v1; git archive v1 | cksum; git rev-parse HEAD
git reset -q --hard HEAD~1; git reflog | wc -l; git cherry-pick nothing; echo "bad $?"; GIT_SEQUENCE_EDITOR="sed -i 2s/pick/squash/" GIT_EDITOR=true git rebase -q -i HEAD~3; git log --oneline | head -3; git worktree add -q ../wt side 2>/dev/null; git bisect start -q HEAD HEAD~2 2>/dev/null | head -1; git bisect reset -q 2>/dev/null; git push -q origin HEAD:refs/heads/pushed; git ls-remote origin | cut -f2
#% case: git-small
#% needs: git
#% quick
#% loose: .git/index
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1
git init -q -b main .; git config gc.auto 0; seq 100 >f; git add f; git commit -q -m first; sed -i 5s/5/five/ f; git commit -q -a -m second; git log --oneline | cat; git show --stat | cat; git status --short
