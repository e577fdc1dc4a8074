//! A way to a server that can hang: connections stand, and nothing comes through.

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Wire {
    pub address: String,
    hangs: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (hangs, hanging) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(join(client, server.clone(), hanging.clone()));
            }
        });
        Self { address, hangs }
    }

    pub fn hang(&self) {
        self.hangs.send_replace(true);
    }

    pub fn go_on(&self) {
        self.hangs.send_replace(false);
    }
}

async fn join(client: TcpStream, server: String, mut hanging: watch::Receiver<bool>) {
    let _ = hanging.wait_for(|hangs| !hangs).await;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(pass(from_client, to_server, hanging.clone()), pass(from_server, to_client, hanging));
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut hanging: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let _ = hanging.wait_for(|hangs| !hangs).await; // an error is the end of the test
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
