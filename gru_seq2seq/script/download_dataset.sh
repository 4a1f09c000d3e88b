#!/usr/bin/env bash
# Downloads Multi30k, the corpus that this model is trained with, and checks it.
. "$(dirname -- "${BASH_SOURCE[0]}")/download.sh"

BASE=${MULTI30K_URL:-https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw}
# SHA-256 of the files that the README's figures are from.
CHECKSUMS="
train.de 2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72
train.en 460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6
val.de 660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660
val.en 1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227
test.de 4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16
test.en 399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182
"

usage() {
    cat <<END
Usage: bash $(basename "$0") DEST

Writes DEST/multi30k/{train,val,test}.{de,en}: 29,000, 1,014 and 1,000 lines; test is test_2016_flickr. What is there
already is left alone. The images of the corpus are not needed.

By hand: get train, val and test_2016_flickr (.de.gz and .en.gz) from $BASE,
put them into DEST/multi30k, then run the command; it unpacks and checks them without a network.

Variables:
  MULTI30K_URL  another folder to get the files from
END
}

read_arguments 1 "$@"
folder=$1/multi30k
mkdir -p "$folder" || exit 2
unfinished=$folder/.unfinished
trap 'rm -f -- "$unfinished" "$unfinished.gz"' EXIT
for split in train val test; do
    case $split in train) lines=29000 ;; val) lines=1014 ;; test) lines=1000 ;; esac
    for language in de en; do
        name=$split.$language file=$folder/$split.$language
        archive=${name/#test./test_2016_flickr.}.gz
        if [ ! -s "$file" ]; then
            if [ -s "$folder/$archive" ]; then
                cp -- "$folder/$archive" "$unfinished.gz"
            else
                echo "downloading $BASE/$archive"
                rm -f -- "$unfinished.gz"
                transfer "$BASE/$archive" "$unfinished.gz" ||
                    fail 1 "$BASE/$archive: cannot be downloaded; get it by hand: bash $(basename "$0") --help"
            fi
            gunzip -c "$unfinished.gz" >"$unfinished" || fail 1 "$archive: damaged; delete it and run this again"
            mv -- "$unfinished" "$file"
        fi
        count=$(wc -l <"$file" | tr -d ' ')
        [ "$count" -eq $lines ] || fail 1 "$file: has $count lines where Multi30k has $lines; delete it and run this again"
        [[ $CHECKSUMS == *"$name $(checksum sha256 "$file")"* ]] ||
            echo "warning: $file: not the file that the README's figures are from" >&2
        echo "$file: $count lines"
    done
done
echo "$folder is ready, for --data_dir"
